"""One module a figure: TITLE, COLUMNS ({key: heading}), cases(lab) ({name: function that gives {key: number}}), AIMS; where
there is one, draw(figure), which gives {file name: picture}; TIMED = False if no time is measured, SETTINGS to be written down."""
