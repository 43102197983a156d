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
