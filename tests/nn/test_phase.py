"""Phases from magnitudes: right for a steady sine, and streamed equals whole."""

import torch

from audiogen.nn.phase import PhaseIntegrator, follow, nearest_peak


def test_the_nearest_peak_of_every_bin():
    spectrum = torch.tensor([[[0.0, 2.0, 1.0, 0.5, 3.0, 0.0]]])
    assert nearest_peak(spectrum).tolist() == [[[1, 1, 1, 4, 4, 4]]]


def test_without_peaks_every_bin_keeps_itself():
    assert nearest_peak(torch.zeros(1, 1, 4)).tolist() == [[[0, 1, 2, 3]]]


def test_a_sines_phase_advances_at_its_frequency():
    n_fft, hop, rate, hertz = 960, 160, 24_000, 1_010.0
    wave = torch.sin(2 * torch.pi * hertz * torch.arange(rate) / rate)
    windows = wave.unfold(0, n_fft, hop) * torch.hann_window(n_fft)
    log_magnitudes = (torch.fft.rfft(windows).abs() / 0.02).log1p()[None]
    _, phases, _ = PhaseIntegrator(n_fft, hop)(log_magnitudes)
    peak = round(hertz * n_fft / rate)
    advance = (phases[0, 20:100, peak] - phases[0, 19:99, peak]).remainder(2 * torch.pi)
    expected = (2 * torch.pi * hertz * hop / rate) % (2 * torch.pi)
    torch.testing.assert_close(advance, torch.full_like(advance, expected), atol=0.05, rtol=0)


def test_streamed_equals_whole():
    integrator = PhaseIntegrator(64, 16)
    frames = torch.rand(2, 40, 33, generator=torch.Generator().manual_seed(0)) * 5
    _, whole, _ = integrator(frames)
    state, parts = None, []
    for part in frames.split([1, 0, 7, 2, 30], dim=1):
        _, phases, state = integrator(part, state)
        parts.append(phases)
    assert torch.equal(torch.cat(parts, 1), whole)


def test_sums_follow_their_sources_and_wrap_around():
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(5, (2, 30, 5), generator=generator)
    increments = torch.randint(-(2**31), 2**31, (2, 30, 5), generator=generator).int()
    start = torch.randint(-(2**31), 2**31, (2, 5), generator=generator).int()
    sums, before = [], start
    for t in range(30):
        before = before.gather(1, source[:, t]) + increments[:, t]
        sums.append(before)
    assert torch.equal(follow(source, increments, start), torch.stack(sums, dim=1))


def test_phases_stay_exact_over_a_long_recording():
    """A bin that nothing moves turns by its own advance: after 6,000 frames still to 3e-3 rad."""
    n_fft, hop = 60, 20
    frames = torch.zeros(1, 6001, 31)
    frames[..., 7] = 1.0  # a peak whose neighbours are alike: its phase has no slope over time
    _, phases, _ = PhaseIntegrator(n_fft, hop)(frames)
    expected = torch.tensor(2 * torch.pi * 7 * hop / n_fft, dtype=torch.float64) * torch.arange(6001) % (2 * torch.pi)
    error = (phases[0, :, 7] - expected + torch.pi).remainder(2 * torch.pi) - torch.pi
    assert (error - error[1]).abs()[1:].max() < 3e-3
