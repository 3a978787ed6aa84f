"""Real pictures to thumbnails, in the short form: examples/thumbnails.sh on the pictures of desktop-base, where that is
installed, and on pictures that convert makes."""

import re
import subprocess
from pathlib import Path

import pytest

from server import ROOT

PICTURES = {  # by convert: every format, upright and lying, smaller than a thumbnail, turned by the camera, of a strange name
    "wide.png": ["-size", "1200x300", "gradient:red-blue"],
    "tall.jpg": ["-size", "300x901", "plasma:fractal"],
    "turned.jpg": ["-size", "800x200", "gradient:green-white"],
    "tiny.gif": ["-size", "40x20", "xc:orange"],
    "flat.tif": ["-size", "1000x2", "xc:black"],
    "old.bmp": ["-size", "333x334", "gradient:"],
    "a name with 'quotes', ü & [0].png": ["-size", "161x161", "plasma:"],
    "-strip.png": ["-size", "500x400", "xc:navy"],
}


# What a camera writes that was held upright: EXIF with nothing but the orientation 6, "RightTop".
EXIF = b"Exif\0\0MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"


def turn(path):
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(EXIF) + 2).to_bytes(2, "big") + EXIF + data[2:])


def thumbnails(tmp_path, *arguments):
    done = subprocess.run([str(ROOT / "examples" / "thumbnails.sh"), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=180, check=False,
                          env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(tmp_path), "LC_ALL": "C.UTF-8"})
    numbers = {name.strip(): float(number) for name, number in re.findall(r"^(\D{22}) ([\d.]+)$", done.stdout, re.M)}
    return done, numbers


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, how in PICTURES.items():
        suffix = Path(name).suffix[1:]
        with open(folder / name, "wb") as file:
            subprocess.run(["convert", *how, {"jpg": "jpeg"}.get(suffix, suffix) + ":-"], stdout=file, check=True)
    turn(folder / "turned.jpg")
    (folder / "notes.txt").write_text("no picture\n")
    return folder


def test_every_picture_has_a_thumbnail_that_opens_and_has_the_right_size(tmp_path, folder):
    out = tmp_path / "out"
    work = tmp_path / "tmp"
    work.mkdir()
    done, numbers = thumbnails(work, "--keep", out, "--workers", 2, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert numbers["pictures"] == numbers["jobs succeeded"] == numbers["files that open"] == len(PICTURES)
    assert numbers["wrong or missing"] == numbers["jobs failed"] == 0 and numbers["attempts"] == len(PICTURES)
    assert "has the right size" in done.stdout
    sizes = subprocess.run(["identify", "-format", "%wx%h ", *map(str, sorted(out.iterdir()))], capture_output=True,
                           text=True, check=True).stdout.split()
    assert sorted(sizes) == sorted(["160x40", "53x160", "40x160", "40x20", "160x1", "160x160", "160x160", "160x128"])
    assert not list(work.iterdir()), "it cleans up"


def test_what_is_no_picture_is_counted_and_named(tmp_path, folder):
    (folder / "letter.png").write_text("this is a letter\n")
    done, numbers = thumbnails(tmp_path, "--workers", 2, folder)
    assert done.returncode == 1
    assert numbers["jobs failed"] == numbers["wrong or missing"] == 1 and numbers["jobs succeeded"] == len(PICTURES)
    assert "letter.png" in done.stderr and "no readable png picture" in done.stderr


def test_a_wrong_size_is_found_out(tmp_path, folder, start_server):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    script = (ROOT / "tasks" / "thumbnail").read_text().replace("${width}x${height}>", "77x77>")
    (tasks / "thumbnail").write_text(script)
    (tasks / "thumbnail").chmod(0o755)
    server = start_server(tasks_dir=tasks)
    done, numbers = thumbnails(tmp_path, "--url", server.url, folder)
    assert done.returncode == 1 and numbers["jobs succeeded"] == len(PICTURES)
    assert numbers["wrong or missing"] == len(PICTURES) - 1, "all but the tiny one"
    server.stop()


@pytest.mark.skipif(not Path("/usr/share/desktop-base").is_dir(), reason="desktop-base is not installed")
def test_the_pictures_of_desktop_base(tmp_path):
    done, numbers = thumbnails(tmp_path, "--limit", 30, "--workers", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert numbers["jobs succeeded"] == numbers["files that open"] == 30


@pytest.mark.parametrize("arguments", [["--bogus"], ["/nowhere"], ["/etc/apt"]])
def test_what_makes_no_sense_is_refused(tmp_path, arguments):
    done, _ = thumbnails(tmp_path, *arguments)
    assert done.returncode == 2 and done.stderr
