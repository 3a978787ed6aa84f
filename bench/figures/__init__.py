"""One module a figure: TITLE, COLUMNS ({key: heading}), cases(lab) ({name: function that gives {key: number}}), AIMS, and
where there is one draw(figure), which gives {file name: picture}."""
