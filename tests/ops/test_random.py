import pytest
import torch

from lineage.ops.random import fold_in, uniform


def test_numbers_are_uniform_and_streams_independent() -> None:
    keys = torch.tensor([fold_in(0, step, image) for step in range(4) for image in range(4)])
    numbers = uniform(keys, 1, 20000)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert (numbers.mean(1) - 0.5).abs().max() < 0.01
    assert (torch.histc(numbers, 20, 0, 1) / numbers.numel() - 0.05).abs().max() < 0.002
    correlation = torch.corrcoef(numbers) - torch.eye(16)
    assert correlation.abs().max() < 0.03
    serial = ((numbers[:, 1:] - 0.5) * (numbers[:, :-1] - 0.5)).mean() * 12
    assert serial.abs() < 0.01


def test_a_stream_depends_on_key_and_salt_only() -> None:
    keys = torch.tensor([fold_in(1), fold_in(2)])
    assert torch.equal(uniform(keys, 3, 10)[1:], uniform(keys[1:], 3, 10))
    assert torch.equal(uniform(keys, 3, 10), uniform(keys, 3, 20)[:, :10])
    assert not torch.equal(uniform(keys, 3, 10), uniform(keys, 4, 10))


def test_keys_differ_by_every_part() -> None:
    assert len({fold_in(seed, step) for seed in range(30) for step in range(30)}) == 900
    assert fold_in(1, 12) != fold_in(11, 2)


GOLDEN = [  # computed by lowbias32 on Python's integers, 24 bits each
    ((0, 0, 0), 759540517790923586, [9722553, 2061715, 13366523, 12563445], [9220929, 13196519]),
    ((1, 2, "a"), 8434072511722816962, [9414680, 4322559, 15299728, 9641787], [9481883, 13355784]),
    (None, 0, [6703280, 12022086, 7004160, 6584755], [4737585, 6009213]),
    (None, 1, [4721872, 5231566, 8969204, 5800919], [1062287, 15939886]),
    (None, 2**63 - 1, [8987184, 3049525, 9121213, 12742470], [16159397, 14173505]),
]


@pytest.mark.parametrize(("parts", "key", "first", "second"), GOLDEN)
def test_the_streams_are_those_of_every_earlier_run(
    parts: tuple[int | str, ...] | None, key: int, first: list[int], second: list[int]
) -> None:
    """Another number here changes the images, samples and augmentations of all runs with a published seed."""
    assert parts is None or fold_in(*parts) == key
    for salt, expected in ((1, first), (32, second)):
        numbers = uniform(torch.tensor([key]), salt, len(expected))
        assert (numbers[0].double() * 2**24).tolist() == expected
