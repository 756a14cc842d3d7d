"""What is painted on the face: complexion, brows, eyes, mouth, beard and spectacles."""

from __future__ import annotations

import torch
from torch import Tensor

from .maths import Params, bump, edge, lay, paint, ramp, rgb, root, wave
from .shapes import Frame, Head, Surface, Texture, nose_coordinates


def complexion(p: Params, h: Head, texture: Texture) -> Tensor:
    """Colour of the skin of the face: flush, shadows under the eyes, freckles, mottling."""
    skin, mottle, fine = p["skin_colour"], texture.mottle, texture.fine
    a, u, v = h.u.abs(), h.u, h.v
    fair = 1 - p["melanin"]
    ruddy = bump((a - 0.24) / 0.20, (v + 0.12) / 0.17) * 0.8 + bump(u / 0.10, (v - p["nose_tip"]) / 0.09) * 0.7
    ruddy = ruddy + 0.35 * bump(u / 0.16, (v + p["chin"] - 0.08) / 0.10) + 0.22 * mottle
    amount = ruddy * p["flush"] * (0.35 + 0.65 * fair)
    factor = 1 + 0.035 * mottle + 0.02 * fine
    factor = factor[:, None] + rgb(u, 0.05, -0.26, -0.26) * amount[:, None]
    under = bump((a - p["eye_x"] + 0.01) / 0.115, (v - p["eye_y"] + 0.075) / 0.045)
    socket = bump((a - p["eye_x"] + 0.02) / 0.16, (v - p["eye_y"] - 0.02) / 0.10)
    tired = (0.07 + 0.16 * p["age"]) * under + (0.12 + 0.10 * p["melanin"]) * socket
    factor -= tired[:, None] * rgb(u, 0.8, 1.0, 0.9)
    spots = (
        ramp(fine, 0.7, 1.5) * ramp(a, 0.42, 0.22) * ramp(v, -0.34, -0.18) * ramp(v, 0.14, 0.0) * p["freckles"] * fair
    )
    factor -= spots[:, None] * rgb(u, 0.25, 0.42, 0.5)
    return skin * factor


def eyes(p: Params, h: Head, s: Surface, f: Frame, texture: Texture) -> None:
    """Both eyes, lids, lashes and creases, painted on the surface."""
    sign = torch.where(h.u > 0, 1.0, -1.0)
    soft = f.pixel
    x = h.u * sign - p["eye_x"]
    y = h.v - p["eye_y"] - x * p["eye_tilt"]
    half = p["eye_width"]
    t = x / half
    arch = (1 - t * t).clamp_min(-1)
    squint = 1 - 0.22 * p["smile"].clamp(0, 1)
    opening = p["eye_open"] * p["lids"] * squint
    upper = opening * arch * (1.08 - 0.12 * t)
    lower = -0.62 * p["eye_open"] * (0.6 + 0.4 * p["lids"]) * arch * (1.0 + 0.15 * t) + 0.012 * (1 - squint)
    ball = edge(torch.minimum(upper - y, y - lower) * 0.8, soft)

    # The eyeball: sclera darker towards the corners and under the lid; iris with limbal ring and pupil.
    gx, gy = x - p["gaze_x"] * sign, y - p["gaze_y"] - 0.004
    d = (gx * gx + gy * gy).sqrt()
    radius, head = 0.0445, 0.0185
    lid_shade = ramp(upper - y, 0.030, 0.0)
    white = rgb(x, 0.60, 0.54, 0.51)
    corner = bump((t.abs() - 1) / 0.55)
    eye = white * (1 - 0.55 * lid_shade[:, None]) * (1 - corner[:, None] * rgb(x, 0.25, 0.5, 0.5))
    fibre = 1 + 0.16 * wave((gx * gx - gy * gy) / (d * d + 1e-4) * 2.5) * wave(gx * gy / (d * d + 1e-4) * 5 + 0.3)
    light_side = 1 + 0.45 * ((-gy) / radius).clamp(-1, 1)  # light through the cornea brightens the far side
    ring = 1 - 0.65 * ramp(d, 0.028, 0.043)
    iris = p["iris_colour"] * (fibre * light_side * ring)[:, None] * 0.9
    paint(eye, iris * (1 - 0.45 * lid_shade[:, None]), edge(radius - d, soft))
    eye = eye * (1 - 0.96 * edge(head - d, soft))[:, None]
    paint(s.colour, eye, ball * h.cover)

    spot_x, spot_y = gx - 0.017 * (p["light_x"] + 0.1) * sign / 0.5, gy - 0.014
    spot = edge(0.0095 - (spot_x * spot_x + spot_y * spot_y).sqrt(), soft * 1.3)
    s.glow += 0.75 * spot * ball

    # Lash line, thicker with make-up; a soft crease above; a light rim below.
    on = edge(1.12 - t.abs(), soft / half)
    thick = 0.0075 + 0.006 * p["make_up"] + 0.002 * (t > 0)
    lash = bump((y - upper - 0.004) / (thick + 0.7 * soft)) * on * thick / (thick + 0.35 * soft)
    rim = bump((y - lower + 0.004) / (0.010 + 0.6 * soft)) * on * (0.30 + 0.35 * p["make_up"])
    crease = bump((y - p["eye_open"] * (arch * 1.05 + 0.10) - 0.034) / (0.013 + 0.5 * soft)) * edge(1.05 - t.abs(), 0.4)
    dark = p["skin_colour"] * rgb(x, 0.20, 0.13, 0.11)
    paint(s.colour, dark, (crease * 0.45 * h.cover).clamp(0, 1))
    shadow = bump(t / 1.35, (y - 0.045) / 0.07) * (1 - ball) * p["make_up"] * 0.35
    paint(s.colour, dark * 2, shadow * h.cover)
    paint(s.colour, dark * 0.5, (torch.maximum(lash * 1.15, rim * 0.6) * h.cover).clamp(0, 0.95))
    lay(s.gloss, 0.9, ball)
    s.flesh *= 1 - 0.6 * ball
    keep = 1 - 0.7 * ball  # the ball is rounder than its lids
    s.dx *= keep
    s.dy *= keep


def brows(p: Params, h: Head, s: Surface, f: Frame, texture: Texture) -> None:
    """Brows in the genetic hair colour."""
    a = h.u.abs()
    t = (a - p["brow_gap"]) / 0.225
    lift = p["brow_lift"] + 0.01 * p["smile"]
    middle = p["brow_y"] + lift + p["brow_arch"] * (1 - (t - 0.62) * (t - 0.62) * 3.2) - 0.02 * t
    thick = p["brow_thick"] * (1.05 - 0.62 * t.clamp(0, 1)) + 0.003
    soft = 0.010 + 0.5 * f.pixel
    cover = ramp((h.v - middle).abs(), thick + soft, thick - soft) * ramp(t, -0.06, 0.10) * ramp(t, 1.08, 0.85)
    cover = cover * (p["brow_dense"] + 0.22 * texture.strands) * h.cover
    paint(s.colour, p["brow_colour"] * 0.8 + p["skin_colour"] * 0.03, cover.clamp(0, 0.92))


def mouth(p: Params, h: Head, s: Surface, f: Frame, texture: Texture) -> None:
    """Lips, teeth and the dark between them."""
    smile, gap = p["smile"], p["open"] * 0.075
    half = p["mouth_width"] * (1 + 0.16 * smile - 0.12 * p["open"])
    t = h.u / half
    arch = 1 - t * t
    y = h.v - p["mouth_y"] + p["open"] * 0.02 - smile * 0.030 * t * t
    top_in, low_in = gap * 0.40 * arch, -gap * 0.85 * arch
    bow = 1 - 0.22 * bump(t / 0.24) + 0.14 * bump((t.abs() - 0.30) / 0.3)
    upper = top_in + p["lip_upper"] * (1 - 0.2 * smile) * arch * bow
    lower = low_in - p["lip_lower"] * (1 - 0.15 * smile) * (1 - t * t * t * t) * root(arch)
    soft = f.pixel * 1.1
    valid = edge(arch, soft / half * 1.6)
    inner = edge(torch.minimum(top_in - y, y - low_in), soft) * valid * h.cover
    lips = edge(torch.minimum(upper - y, y - lower) + 0.003, soft + 0.008) * valid * h.cover
    skin = p["skin_colour"]
    red = rgb(t, 0.93, 0.52, 0.52)
    bare = skin * (1 - (1 - red) * (0.6 + 0.6 * p["lip_red"][:, None]))
    stick = rgb(t, 0.42, 0.055, 0.075) * (0.5 + 0.5 * (1 - p["melanin"][:, None]))
    colour = bare + (stick - bare) * (p["make_up"] * 0.75)[:, None]
    # The upper lip faces down and the lower lip up, which is most of what is seen of lips.
    roll = ((y - (top_in + low_in) * 0.5) / 0.03).clamp(-1, 1)
    paint(s.colour, colour * (1 - 0.16 * roll[:, None]), lips * (0.55 + 0.4 * p["lip_red"]).clamp(0, 1))
    s.dy -= lips * (0.55 * ((y + p["lip_lower"] * 0.45) / 0.03).clamp(-1, 1) * (y < 0) - 0.25 * (y > 0))
    s.gloss += lips * (0.25 + 0.5 * p["make_up"]) * (y < 0)
    cave = rgb(t, 0.045, 0.014, 0.012)
    tooth_edge = torch.maximum(low_in * 0.55, top_in - 0.036)
    teeth = inner * edge(y - tooth_edge, soft) * ramp(t.abs(), 0.92, 0.6)
    paint(s.colour, cave, inner)
    ivory = rgb(t, 0.62, 0.56, 0.48) * (1 - 0.45 * t * t)[:, None]
    paint(s.colour, ivory, teeth)
    seam = (
        bump((y - (top_in + low_in) * 0.5) / (0.008 + 0.6 * soft))
        * edge(1.06 - t.abs(), 0.12)
        * (1 - inner)
        * ramp(gap, 0.03, 0.0)
    )
    corner = bump((t.abs() - 1.0) / 0.16, (y - 0.001) / 0.022)
    dark = skin * rgb(t, 0.16, 0.07, 0.06)
    paint(s.colour, dark, (seam * 0.80 + corner * 0.5).clamp(0, 0.9) * h.cover)


def nostrils(p: Params, h: Head, s: Surface, f: Frame, texture: Texture) -> None:
    """The dark of the nostrils and the crease round the wings."""
    wide, tip = p["nose_width"], p["nose_tip"]
    u, v = nose_coordinates(p, h)
    a = u.abs()
    hole = bump(
        (a - wide * 0.50) / (wide * 0.40),
        (v - tip + 0.040 - 0.15 * (a - wide * 0.5)) / (0.020 + 0.006 * p["nose_turn"]),
    )
    crease = bump((a - wide * 1.22) / 0.022, (v - tip + 0.02) / 0.045)
    under = bump(u / (wide * 1.1), (v - tip + 0.052) / 0.024)
    dark = p["skin_colour"] * rgb(u, 0.14, 0.06, 0.05)
    paint(s.colour, dark, (0.85 * hole + 0.22 * crease + 0.25 * under).clamp(0, 0.9) * h.cover)


def beard(p: Params, h: Head, s: Surface, f: Frame, texture: Texture) -> None:
    """Stubble, moustache and beard."""
    a, v = h.u.abs(), h.v
    strands = 0.6 * texture.strands + 0.4 * texture.fine
    my, half = p["mouth_y"], p["mouth_width"]
    line = -0.17 - 0.55 * (0.40 - a).clamp_min(0) + 0.10 * ramp(a, 0.12, 0.0)
    jaw = ramp(v, line + 0.05, line - 0.06)
    lip = 1.5 * bump(a / (half * 1.35), (v - my - 0.066 + 1.6 * a * a) / 0.052)
    clear = 1 - (1.6 * bump(h.u / (half * 1.25), (v - my + 0.012) / 0.080)).clamp_max(1)
    cheeks = jaw * clear
    grain = 0.80 + 0.30 * strands
    stubble = (
        torch.maximum(cheeks * ramp(v, my + 0.11, my + 0.05), lip) * p["stubble"] * 0.55 + cheeks * p["stubble"] * 0.16
    )
    shadow = p["brow_colour"] * 0.4 + p["skin_colour"] * rgb(v, 0.20, 0.22, 0.24)
    paint(s.colour, shadow, (stubble * grain * h.cover).clamp(0, 0.85))
    full = torch.maximum(cheeks * p["beard"], lip * torch.maximum(p["tache"], p["beard"]))
    cover = (full * 1.25 * grain * h.cover).clamp(0, 0.96)
    paint(s.colour, p["brow_colour"] * (0.85 + 0.35 * strands[:, None]), cover)
    s.gloss *= 1 - 0.8 * cover
    s.flesh *= 1 - 0.7 * cover
    s.dx += 0.35 * strands * cover


def spectacles(p: Params, s: Surface, h: Head, f: Frame) -> None:
    """Spectacles of those who wear them; dark ones on some photos."""
    dark = dark_glasses(p).to(torch.float32)
    u = h.u - p["yaw"] * 0.05
    a = u.abs()
    x, y = (a - p["eye_x"]) / (0.125 + 0.02 * p["frame"]), (h.v - p["eye_y"] + 0.012) / (0.088 + 0.03 * p["frame"])
    x2, y2 = x * x, y * y
    r = (x2 * x2 + y2 * y2 + 1.2 * (1 - p["frame"]) * x2 * y2).sqrt().sqrt()
    width = 0.010 + 0.012 * p["frame"]
    rim = edge(width - (r - 1).abs() * 0.10, f.pixel)
    bridge = edge(width - (h.v - p["eye_y"] - 0.02 + 2.5 * a * a).abs(), f.pixel) * edge(
        p["eye_x"] - 0.115 - a, f.pixel
    )
    arm = edge(width - (h.v - p["eye_y"] - 0.015).abs(), f.pixel) * ramp(a, p["eye_x"] + 0.13, p["eye_x"] + 0.15)
    lens = edge((1 - r) * 0.1, f.pixel) * h.cover
    glint = bump((x + y * 0.7 + 0.3) / 0.35) * lens
    tint = rgb(u, 0.012, 0.012, 0.014)
    paint(s.colour, tint, lens * dark * 0.95)
    s.glow *= 1 - lens * dark
    s.glow += glint * (0.05 + 0.06 * dark)
    metal = linear_metal(p)
    cover = torch.maximum(torch.maximum(rim, bridge), arm) * h.cover
    paint(s.colour, metal, cover * 0.92)
    s.gloss *= 1 - cover


def dark_glasses(p: Params) -> Tensor:
    """Whether dark glasses are worn in a photo: bool [n,1,1]."""
    return p["dark_glasses"] < 0.025


def glasses(p: Params) -> Tensor:
    """Whether any glasses are worn in a photo: bool [n,1,1]."""
    return (p["spectacles"] < 0.10) | dark_glasses(p)


def linear_metal(p: Params) -> Tensor:
    """Colour of the frame of spectacles: from black to tortoise."""
    shade = p["frame"][:, None]
    return rgb(shade, 0.10, 0.06, 0.035) * (1 - shade) + 0.008
