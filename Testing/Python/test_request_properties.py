"""Requests of any content, through JSON and through the command line and back."""

import argparse
import json
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments, to_arguments
from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.registration.request import RegisterRequest, SequenceRequest
from UltrasoundMotionLib.settings import alternatives, from_plain, options_of, to_plain, with_changes
from UltrasoundMotionLib.strain.request import StrainRequest
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.tracking.request import TrackRequest

REQUESTS = (TrackRequest, RegisterRequest, SequenceRequest, StrainRequest)
WORDS = st.text("abcxyz0189_./:", min_size=1, max_size=8).filter(lambda word: not word.startswith("-"))
SETTINGS = st.none() | st.dictionaries(
    WORDS, st.integers(-5, 5) | st.floats(0.1, 9) | st.booleans() | WORDS | st.tuples(st.integers(), st.integers())
)
SEGMENTS = segment_model("A4C").names
OF_NAME = {
    "settings": SETTINGS,
    "initial_transform": st.sampled_from(["auto", "none", "rigid", "affine"]),
    "mask": st.sampled_from([None, "tissue"]),
    "reject": st.lists(st.sampled_from(SEGMENTS[:3]), unique=True).map(tuple),
    "accept": st.lists(st.sampled_from(SEGMENTS[3:]), unique=True).map(tuple),
    "view": st.sampled_from(["A4C", "A2C", "APLAX", "SAX-base", "SAX-mid", "SAX-apex"]),
    "query_frame": st.integers(-3, 10**6) | st.just("auto"),
}
"""The values of options whose type alone does not say them."""


def values_of_kind(kind, one):
    """Values of one type that an option allows."""
    if typing.get_origin(kind) is tuple:
        return st.lists(values_of_kind(typing.get_args(kind)[0], one), min_size=1, max_size=3).map(tuple)
    low = one.minimum if one.above is None else one.above
    return {
        bool: st.booleans(),
        int: st.integers(int(low or 0), 10**6),
        float: st.floats(low, 1e6, exclude_min=one.above is not None),
        Path: WORDS.map(Path),
        type(None): st.none(),
    }.get(kind, WORDS)


def values_of(one):
    if one.name in OF_NAME:
        return OF_NAME[one.name]
    if one.allowed():
        return st.sampled_from(one.allowed())
    return st.one_of([values_of_kind(kind, one) for kind in alternatives(one.kind)])


@st.composite
def requests(draw, kind):
    """Requests with some of the options given, without those that others among them exclude."""
    chosen = {one.name: draw(values_of(one)) for one in options_of(kind) if draw(st.booleans())}
    while True:
        try:
            return kind(**chosen)
        except OptionError as error:
            del chosen[error.option]
        except InputError:  # settings that this kind does not have
            del chosen["settings"]


def same(one, other):
    """Equal in every option; paths and texts alike are equal."""
    assert type(one) is type(other)
    for name in (option.name for option in options_of(type(one))):
        left, right = getattr(one, name), getattr(other, name)
        left, right = (str(value) if isinstance(value, Path) else value for value in (left, right))
        assert left == right, name


@pytest.mark.parametrize("kind", REQUESTS)
@given(st.data())
def test_a_request_comes_back_from_json(kind, data):
    request = data.draw(requests(kind))
    same(from_plain(kind, json.loads(json.dumps(to_plain(request)))), request)


@pytest.mark.parametrize("kind", REQUESTS)
@given(st.data())
def test_a_request_comes_back_from_the_words_that_repeat_it(kind, data):
    request = data.draw(requests(kind))
    parser = argparse.ArgumentParser()
    add_arguments(parser, kind)
    others = {one.name: getattr(request, one.name) for one in options_of(kind) if not one.on_command_line}
    read = from_arguments(kind, parser.parse_args(to_arguments(request)), **others)
    same(read, request)


@pytest.mark.parametrize("kind", REQUESTS)
@given(st.data())
def test_what_differs_from_a_request_leads_from_one_to_the_other(kind, data):
    one, other = data.draw(requests(kind)), data.draw(requests(kind))
    changes = {option.name: getattr(other, option.name) for option in options_of(kind)}
    same(with_changes(one, changes), other)
