"""A wrong value in params.yaml is one clear line that names the key and what is allowed."""

import pytest
from pydantic import model_validator

from faces.core.params import Group, ParamsError, load, one_of, parse, present


class Inner(Group):
    size: int
    rate: float


class Outer(Group):
    seed: int
    inner: Inner


GOOD = {"seed": 1, "inner": {"size": 64, "rate": 0.5}}


def test_good_values_pass():
    assert parse(Outer, GOOD) == Outer(seed=1, inner=Inner(size=64, rate=0.5))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 1}, "params.yaml: inner is missing"),
        ({**GOOD, "inner": {"size": 64}}, "params.yaml: inner.rate is missing"),
        (
            {**GOOD, "inner": {"size": 64, "rate": 0.5, "sise": 1}},
            "params.yaml: inner.sise is not a known key, did you mean 'size'?; allowed: rate, size",
        ),
        (
            {**GOOD, "inner": {"size": "64", "rate": 0.5}},
            "params.yaml: inner.size = '64'; input should be a valid integer",
        ),
        (
            {**GOOD, "inner": {"size": 64, "rate": "1e-3"}},
            "params.yaml: inner.rate = '1e-3'; input should be a valid number (in YAML a float needs a dot",
        ),
        (
            {**GOOD, "inner": {"size": 64, "rate": float("nan")}},
            "params.yaml: inner.rate = nan; input should be a finite number",
        ),
        ({**GOOD, "seed": 1.5}, "params.yaml: seed = 1.5; input should be a valid integer"),
    ],
)
def test_a_wrong_value_is_one_line(values, message):
    with pytest.raises(ParamsError) as error:
        parse(Outer, values)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_yaml_reads_an_exponent_without_a_dot_as_text(tmp_path):
    """The trap itself: YAML 1.1 takes 1e-3 for a word; DVC, which reads YAML 1.2, takes it for a number."""
    file = tmp_path / "params.yaml"
    file.write_text("seed: 1\ninner: {size: 64, rate: 1e-3}\n")
    with pytest.raises(ParamsError, match=r"write 1.0e-3"):
        load(Outer, file)


def test_load_reads_only_the_keys_of_the_group(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("seed: 1\ninner: {size: 64, rate: 0.5}\nother: {wrong: yes}\n")
    assert load(Outer, file).inner.size == 64


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        load(Outer, tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1,\n")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load(Outer, tmp_path / "broken.yaml")


def test_one_of_names_the_nearest():
    assert one_of("model", "vae", ["glow", "vae"]) == "vae"
    with pytest.raises(ParamsError, match=r"model = 'glwo', did you mean 'glow'\?; allowed: glow, vae"):
        one_of("model", "glwo", ["glow", "vae"])


def test_a_name_with_a_question_mark_may_be_absent():
    assert present("render.attributes", ["Smiling", "Mustache?", "Male?"], ["Male", "Smiling"]) == (
        "Smiling",
        "Male",
    )
    with pytest.raises(ParamsError, match=r"render\.attributes = 'Mustache'"):
        present("render.attributes", ["Mustache"], ["Male", "Smiling"])


def test_a_validator_may_speak_for_itself():
    class Choice(Group):
        name: str

        @model_validator(mode="after")
        def known(self) -> "Choice":
            one_of("group.name", self.name, ["a", "b"])
            return self

    with pytest.raises(ParamsError, match=r"^params\.yaml: group\.name = 'c'; allowed: a, b$"):
        parse(Choice, {"name": "c"})
