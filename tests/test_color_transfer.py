"""Transfers whose colours are controlled, from Python and from the command line."""

import json

import numpy as np
import pytest

import vggnumpy as vn
from vggnumpy.cli import main
from vggnumpy.color_control import COLORS, SPACES, color_statistics
from vggnumpy.formats.weights import write_weights
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.nets import architecture, random_network
from vggnumpy.paintings import painting_path
from vggnumpy.plan import plan_transfer
from vggnumpy.run import demo_portrait

NET = random_network(architecture("vgg19")[:7], rng=1)  # to relu2_1: quick
SIZE = 64
QUICK = {"net": NET, "iterations": 4, "size": SIZE, "scales": 2}


@pytest.fixture(scope="module")
def pictures():
    content, style = read_image(demo_portrait()), read_image(painting_path("marbled"))
    return resize(content, fit_size(*content.shape[:2], 120)), resize(style, (60, 60))


@pytest.mark.parametrize(("kind", "space"), [("luminance", "yiq"), ("luminance-lab", "lab")])
def test_brightness_alone_is_painted_and_the_chroma_is_the_contents_to_a_grey_level(pictures, kind, space):
    content, style = pictures
    on_the_way = []
    result = vn.transfer(content, style, color=kind, callback=lambda one: on_the_way.append(one.pixels), **QUICK)
    to_space = SPACES[space][0]
    for image in (result.image, *on_the_way):
        own = to_space(np.clip(resize(content, image.shape[:2]), 0, 255).astype("float32"))
        found = to_space(np.clip(np.rint(image), 0, 255).astype("float32"))
        assert np.abs(found[..., 1:] - own[..., 1:]).max() < 1
        assert np.abs(found[..., 0] - own[..., 0]).mean() > 0.2  # something has been painted
    assert result.settings["color"] == kind


@pytest.mark.parametrize("kind", ["cholesky", "principal-axes"])
def test_a_style_is_painted_from_in_the_contents_colours(pictures, kind):
    plan = plan_transfer(*pictures, color=kind, **QUICK)
    wanted, found = color_statistics(plan.content), color_statistics(plan.styles[0])
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=0.01)
    np.testing.assert_allclose(found.covariance, wanted.covariance, rtol=0.01)
    assert plan.content is plan.colored is pictures[0]


def test_colours_alone_are_the_styles_and_nothing_is_painted(pictures):
    content, style = pictures
    result = vn.transfer(content, [style, 255 - style], color="recolor", style_weights=[3, 1], **QUICK)
    assert result.history == [] and result.terms == {} and not result.interrupted
    small = resize(content, result.pixels.shape[:2])
    found = color_statistics(result.pixels).mean
    np.testing.assert_allclose(found, 0.75 * color_statistics(style).mean + 0.25 * color_statistics(255 - style).mean)
    centred = [image.reshape(-1, 3) - image.reshape(-1, 3).mean(axis=0) for image in (small, result.pixels)]
    assert np.linalg.matrix_rank(np.hstack(centred), tol=1e-3 * np.linalg.norm(centred[0])) == 3  # an affine map of it


def test_every_kind_makes_another_picture(pictures):
    quick = {"net": NET, "iterations": 2, "size": 32}
    kinds = [kind for kind in COLORS if kind != "regions"]  # which needs masks
    images = {kind: vn.transfer(*pictures, color=kind, **quick).image.tobytes() for kind in kinds}
    assert len(set(images.values())) == len(kinds)
    assert images["style"] == vn.transfer(*pictures, **quick).image.tobytes()


@pytest.mark.parametrize("kind", ["luminance", "recolor"])
def test_the_command_line_controls_colours(pictures, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    write_image("content.png", pictures[0])
    write_image("style.png", pictures[1])
    write_weights("small.h5", NET)
    options = ["--size", "48", "--iterations", "2", "--weights", "small.h5", "--color", kind]
    assert main(["transfer", "content.png", "style.png", "-o", "out.png", *options]) == 0
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["settings"]["color"] == kind
    assert {path.name for path in tmp_path.iterdir()} == {
        *("content.png", "style.png", "out.png", "out.json", "out.loss.png", "small.h5")
    }


def test_an_unknown_kind_and_masks_for_recolouring_are_refused(pictures, tmp_path, monkeypatch, capsys):
    with pytest.raises(vn.InputError, match=r"colours must be one of style, luminance, .*got 'sepia'"):
        vn.transfer(*pictures, color="sepia", **QUICK)
    monkeypatch.chdir(tmp_path)
    for name in ("content.png", "style.png"):
        write_image(name, pictures[0])
    half = np.zeros((120, 102, 3))
    half[:, 50:] = 255
    write_image("mask.png", half)
    masks = ["--content-mask", "mask.png", "--style-mask", "mask.png"]
    assert main(["transfer", "content.png", "style.png", "-o", "out.png", "--color", "recolor", *masks]) == 2
    assert "leave the masks out" in capsys.readouterr().err
