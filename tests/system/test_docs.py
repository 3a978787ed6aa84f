"""What docs/ says of the program, the program says too."""

from server import ROOT, run_forkpool


def test_the_configuration_reference_is_the_programs_own():
    printed = run_forkpool("reference").stdout
    assert printed.count("\n") > 30
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8").endswith(printed)


def test_the_readme_names_files_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(links) > 5
    for link in links:
        assert (ROOT / link).exists(), link
