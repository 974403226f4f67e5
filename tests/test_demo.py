"""The demonstration: any picture in, one batch, a contact sheet and a table out; errors write nothing."""

import io
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpuconv import cpu
from gpuconv.call import understand
from gpuconv.cli import main
from gpuconv.commands import contact_sheet, demo, pictures, sheet_file
from gpuconv.commands.environment import Cpu


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gradient(height, width, channels=()):
    """An 8-bit array that differs along both axes."""
    h, w = np.indices((height, width))
    plane = (h * 255 // max(height - 1, 1) + w) % 256
    return np.broadcast_to(
        plane.reshape(height, width, *[1] * len(channels)), (height, width, *channels)
    ).astype(np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return str(path)


# The command


def test_demo_writes_the_contact_sheet_and_prints_the_table(folder, capsys):
    path = save(folder / "grey.png", gradient(40, 60))
    assert main(["demo", path]) == 0
    printed = capsys.readouterr().out
    with Image.open("gpuconv-demo.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 500
    for step in ("edges 3x3", "edges 3x3, stride 2", "colour mix 1x1", "max pool 8x8", "global average"):
        assert step in printed
    rooms = cpu.conv, cpu.pool
    assert all(any(each.name in printed for each in room.ALGORITHMS) for room in rooms)
    assert printed.count("GFLOP/s") == printed.count("GB/s") == 3
    assert "(1, 4, 20, 30)" in printed
    assert "contact sheet: gpuconv-demo.png" in printed
    assert "note:" not in printed
    lines = re.findall(r"^(\d/6)  (\w.*\w) +\d+\.\d s$", printed, re.M)  # in place of a bar
    assert lines[0] == ("1/6", "edges 3x3") and lines[-1] == ("6/6", "global average") and len(lines) == 6


def test_a_line_begins_before_its_step_does(folder, capsys, monkeypatch):
    seen, measure = [], demo._measure

    def measured(*arguments):
        seen.append(capsys.readouterr().out)
        return measure(*arguments)

    monkeypatch.setattr(demo, "_measure", measured)
    assert main(["demo", save(folder / "a.png", gradient(16, 16))]) == 0
    assert seen[0].rstrip() == "1/6  edges 3x3" and len(seen) == 6


def test_a_terminal_shows_a_bar_in_their_place(folder, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # which rich takes for a terminal
    assert main(["demo", save(folder / "a.png", gradient(16, 16))]) == 0
    printed = capsys.readouterr()
    assert "1/6" not in printed.out and "100%" in printed.err


def test_pictures_of_every_kind_make_one_batch(folder, capsys):
    paths = [
        save(folder / "grey.png", gradient(40, 60)),
        save(folder / "colour.jpg", gradient(64, 48, (3,))),
        save(folder / "alpha.png", gradient(30, 30, (4,))),
        save(folder / "deep.tif", gradient(20, 30).astype(np.uint16) * 257),
    ]
    assert main(["demo", *paths, "--out", "sheet.PNG", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "(4, 3, 341, 512) float32, cpu" in printed
    assert "note: each picture is scaled and cropped to 512 x 341" in printed
    assert (folder / "sheet.PNG").exists()


@pytest.mark.wide  # seconds
def test_many_pictures_are_all_computed_and_the_first_are_shown(folder, capsys):
    paths = [save(folder / f"{n}.png", gradient(16, 16)) for n in range(demo.SHOWN + 1)]
    assert main(["demo", *paths]) == 0
    printed = capsys.readouterr().out
    assert f"(the first {demo.SHOWN} of {demo.SHOWN + 1} pictures)" in printed
    assert f"({demo.SHOWN + 1}, 3, 16, 16) float32" in printed


@pytest.mark.gpu
def test_demo_on_a_gpu(folder, capsys):
    assert main(["demo", save(folder / "grey.png", gradient(40, 60)), "--device", "cuda"]) == 0
    assert "float32, cuda" in capsys.readouterr().out


def not_a_picture(folder):
    (folder / "letter.png").write_text("Dear reader,")
    return "letter.png"


def truncated(folder):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole, "png")
    (folder / "half.png").write_bytes(whole.getvalue()[:2000])
    return "half.png"


def three_dimensional(folder):
    import tifffile

    tifffile.imwrite(folder / "stack.tif", np.zeros((5, 6, 7, 2), np.float64))
    return "stack.tif"


def a_folder(folder):
    (folder / "pictures").mkdir()
    return "pictures"


@pytest.mark.parametrize(
    "bad", [lambda folder: "missing.png", a_folder, not_a_picture, truncated, three_dimensional]
)
def test_unreadable_file_is_one_line_and_nothing_is_written(bad, folder, capsys):
    good, name = save(folder / "good.png", gradient(16, 16)), bad(folder)
    before = sorted(folder.rglob("*"))
    assert main(["demo", good, name]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"gpuconv demo: {name}") and printed.err.count("\n") == 1
    assert printed.out == ""
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("sheet.jpg", "must end in .png"),
        ("sheet", "must end in .png"),
        ("absent/sheet.png", "there is no folder"),
    ],
)
def test_wrong_out_is_refused_before_anything_is_read(out, reason, folder, capsys):
    assert main(["demo", "missing.png", "--out", out]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
    assert list(folder.iterdir()) == []


def a_folder_of_that_name(monkeypatch):
    Path("sheet.png").mkdir()
    return "Is a directory"


def a_read_only_folder(monkeypatch):
    def refuse(**options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(sheet_file.tempfile, "TemporaryFile", refuse)
    return "Read-only file system"


def a_link_to_nowhere(monkeypatch):
    Path("sheet.png").symlink_to("absent/sheet.png")
    return f"there is no folder {Path('absent').absolute()}"


def a_deleted_folder(monkeypatch):
    Path.cwd().rmdir()
    return "No such file or directory"


@pytest.mark.parametrize(
    "case", [a_folder_of_that_name, a_read_only_folder, a_link_to_nowhere, a_deleted_folder]
)
def test_out_that_cannot_be_written_is_one_line_before_anything_is_read(case, folder, capsys, monkeypatch):
    reason = case(monkeypatch)
    before = list(folder.rglob("*"))
    assert main(["demo", "missing.png", "--out", "sheet.png"]) == 2
    assert capsys.readouterr().err == f"gpuconv demo: --out sheet.png: {reason}\n"
    assert list(folder.rglob("*")) == before


@pytest.mark.parametrize("content", [None, b"of last time"])
def test_what_is_interrupted_leaves_everything_as_it_was(content, folder, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    sheet = folder / "sheet.png"
    if content:
        sheet.write_bytes(content)
    monkeypatch.setattr(demo, "_measure_all", interrupt)
    picture = save(folder / "a.png", gradient(16, 16))
    assert main(["demo", picture, "--out", str(sheet)]) == 130
    assert [path.name for path in folder.iterdir() if path != sheet] == ["a.png"]
    assert (sheet.read_bytes() if sheet.exists() else None) == content


# Pictures


def test_shipped_photographs_need_no_download(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    loaded = pictures.shipped()
    assert [picture.name for picture in loaded] == list(pictures.SHIPPED)
    assert all(picture.image.mode == "RGB" for picture in loaded)


def pixels(path):
    (picture,) = pictures.load([str(path)])
    return np.asarray(picture.image)


def test_grey_becomes_three_equal_channels(folder):
    array = gradient(9, 12)
    np.testing.assert_array_equal(pixels(save(folder / "grey.png", array)), np.stack([array] * 3, axis=-1))


def test_transparency_shows_white(folder):
    array = np.zeros((4, 4, 4), np.uint8)
    array[:2, :, 3] = 255
    shown = pixels(save(folder / "alpha.png", array))
    assert (shown[:2] == 0).all() and (shown[2:] == 255).all()


def test_a_palette_shows_its_colours(folder):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.save(folder / "palette.png")
    np.testing.assert_array_equal(pixels(folder / "palette.png"), [[[255, 0, 0], [0, 255, 0]]])


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits_are_stretched(folder, dtype):
    array = np.array([[1000, 2000], [3000, 6100]], dtype)
    shown = pixels(save(folder / "deep.tif", array))
    np.testing.assert_array_equal(shown[..., 0], [[0, 50], [100, 255]])


def test_formats_beyond_pillow_and_values_that_are_no_numbers(folder):
    import tifffile

    array = np.zeros((2, 2, 3), np.float64)
    array[0, 0], array[1, 1], array[0, 1] = 2, np.nan, 1
    tifffile.imwrite(folder / "floats.tif", array, photometric="rgb")
    np.testing.assert_array_equal(pixels(folder / "floats.tif")[..., 2], [[255, 128], [0, 0]])


def test_a_constant_picture_is_black_and_raises_nothing(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (pixels(save(folder / "flat.tif", np.full((3, 3), 7, np.uint16))) == 0).all()


def test_a_picture_beyond_pillows_guard_is_told_which_limit(folder, monkeypatch, capsys):
    path = save(folder / "huge.png", gradient(40, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert main(["demo", path]) == 2
    error = capsys.readouterr().err
    assert (
        error.count("\n") == 1 and "huge.png is too large: scale it down" in error and "2000 pixels" in error
    )


def test_every_edge_kernel_shows_edges_alone():
    assert not demo.EDGES.sum((1, 2)).any()


def test_a_photograph_taken_sideways_is_turned(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn right by 90 degrees
    assert pixels(save(folder / "sideways.jpg", gradient(20, 50), exif=exif)).shape == (50, 20, 3)


def picture(height, width, value=0):
    return pictures.Picture("p", Image.fromarray(np.full((height, width, 3), value, np.uint8)))


def test_pictures_of_one_small_size_stay_as_they_are():
    array = gradient(24, 36, (3,))
    batch, note = pictures.as_batch([pictures.Picture("a", Image.fromarray(array)), picture(24, 36, 255)])
    assert batch.shape == (2, 3, 24, 36) and batch.dtype == np.float32 and note is None
    np.testing.assert_array_equal(batch[0], array.transpose(2, 0, 1) / np.float32(255))
    assert (batch[1] == 1).all()


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ([(1000, 2000)], (256, 512)),
        ([(2000, 1000)], (512, 256)),
        ([(100, 100), (100, 200), (100, 300)], (256, 512)),
        ([(1, 1000)], (128, 512)),
        ([(300, 1), (1, 1), (300, 1)], (512, 128)),
        ([(1, 1)], (512, 512)),
        ([(7, 9)], (398, 512)),
        ([(8, 9)], (8, 9)),
    ],
)
def test_the_common_size(sizes, shape):
    batch, note = pictures.as_batch([picture(*size) for size in sizes])
    assert batch.shape == (len(sizes), 3, *shape)
    assert (note is None) == (sizes == [(8, 9)])


def test_nothing_is_stretched():
    square = np.zeros((600, 600, 3), np.uint8)
    square[150:250, 250:350] = 255
    batch, _ = pictures.as_batch(
        [pictures.Picture("a", Image.fromarray(square)), picture(300, 600), picture(300, 600)]
    )
    bright = np.argwhere(batch[0, 0] > 0.5)
    height, width = np.ptp(bright, axis=0) + 1
    assert batch.shape == (3, 3, 256, 512) and abs(height - width) <= 1


# Operators and the sheet


def test_the_edge_kernels_see_what_they_are_named_for():
    x = np.zeros((1, 3, 12, 12), np.float32)
    x[:, :, 6:] = 1  # dark above, bright below
    edges = demo.steps(Cpu(), x)[0](x)[0, :, 1:-1, 1:-1]
    np.testing.assert_allclose(edges[0, 4:6], 3, rtol=1e-6)
    assert np.abs(edges[1]).max() < 1e-6
    across = demo.steps(Cpu(), x)[0](np.ascontiguousarray(x.transpose(0, 1, 3, 2)))[0, :, 1:-1, 1:-1]
    np.testing.assert_allclose(across[1, :, 5], 3, rtol=1e-6)
    assert np.abs(across[0]).max() < 1e-6


def test_rates_are_those_of_the_definition():
    x = np.zeros((2, 3, 16, 16), np.float32)
    steps = demo.steps(Cpu(), x)
    means = [understand(step.function, x, *step.arguments, **step.parameters) for step in steps]
    convolution = demo.Measurement(steps[0], means[0], x, 1e-3)
    assert convolution.rate == f"{2 * 2 * 4 * 16 * 16 * 3 * 9 / 1e6:.1f} GFLOP/s"
    pool = demo.Measurement(steps[3], means[3], x, 1e-6)
    assert pool.rate == f"{4 * (2 * 3 * 16 * 16 + 2 * 3 * 2 * 2) / 1e3:.1f} GB/s"


@pytest.mark.parametrize("rows", [1, 2, 3, 12])
@pytest.mark.parametrize("aspect", [0.25, 1, 4])
def test_panels_keep_their_aspect_and_lie_apart_on_the_sheet(rows, aspect):
    layout = contact_sheet.Layout(rows, 10, aspect)
    boxes = [layout.box(row, number) for row in range(rows) for number in range(10)]
    caption = contact_sheet.CAPTION / layout.height
    for left, bottom, width, height in boxes:
        assert height * layout.height / (width * layout.width) == pytest.approx(aspect)
        assert 0 < left < left + width < 1 and 0 < bottom < bottom + height + caption < 1
    for a in range(len(boxes)):
        for b in range(a):
            (left, bottom, width, height), (left_b, bottom_b, width_b, height_b) = boxes[a], boxes[b]
            apart = left >= left_b + width_b or left_b >= left + width
            assert apart or bottom >= bottom_b + height_b or bottom_b >= bottom + height


def drawn(name, aspect=0.5, height=64):
    grey = np.linspace(-1, 1, 2 * height * height).reshape(height, 2 * height)
    panels = [contact_sheet.Panel("t", "c", grey, signed=True)] * 10
    return np.asarray(Image.open(io.BytesIO(contact_sheet.draw([(name, panels)] * 3, aspect, "heading"))))


@pytest.mark.wide  # seconds
def test_every_text_fits_on_the_sheet():
    """The paper's edge stays blank on all sides, whatever the pictures are called."""
    paper = tuple(int(contact_sheet.PAPER[i : i + 2], 16) for i in (1, 3, 5))
    for name in ("a", "a picture with a very long name, $5 to $10_each$"):
        sheet = drawn(name)[..., :3]
        for edge in (sheet[:5], sheet[-5:], sheet[:, :5], sheet[:, -5:]):
            assert (edge == paper).all()
        assert (sheet != paper).any()


def test_zero_is_middle_grey_in_a_signed_panel():
    flat = np.zeros((8, 8))
    flat[0, 0], flat[0, 1] = -1, 3
    panels = [contact_sheet.Panel("t", "c", flat, signed=True)] * 10
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet.draw([("n", panels)], 1, "heading"))))
    layout = contact_sheet.Layout(1, 10, 1)
    left, bottom, width, height = layout.box(0, 3)
    middle = sheet[int((1 - bottom - height / 2) * sheet.shape[0]), int((left + width / 2) * sheet.shape[1])]
    assert (abs(middle[:3].astype(int) - 128) <= 1).all()
