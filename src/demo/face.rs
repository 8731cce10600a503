//! Paints the inner face of a person: skin, eyes, brows, nose and mouth, at a point in face units. The head around it
//! is in `head.rs`.
//!
//! The same code paints real and swapped faces.

use super::paint::{Point, Rgb, blended, bump, cover, mix, over, scaled, smoothstep, square, tinted};
use super::person::{Person, Skin};

/// Facial expression and light at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expression {
    /// How far the eyes are open, 0 to 1.
    pub eyes_open: f32,
    /// Gaze direction, -1 to 1 in each axis.
    pub gaze: Point,
    /// How far the mouth is open, 0 to 1.
    pub mouth_open: f32,
    /// How far the corners of the mouth are up, -1 to 1.
    pub smile: f32,
    /// How far the brows are up, -1 to 1.
    pub brows_up: f32,
    /// Direction to the light: right, down, towards the viewer.
    pub light: [f32; 3],
}

/// One person's face at one moment; `pixel` is the size of a pixel in face units.
pub(super) struct Face<'a> {
    pub person: &'a Person,
    pub skin: &'a Skin,
    pub expression: Expression,
    pub pixel: f32,
}

impl Face<'_> {
    /// The colour at a point of the face with surface normal `normal`.
    pub fn paint(&self, at: Point, normal: [f32; 3]) -> Rgb {
        let mut color = self.bare_skin(at);
        self.paint_nose(at, &mut color);
        self.paint_mouth(at, &mut color);
        self.paint_eye(at, &mut color);
        self.paint_brow(at, &mut color);
        scaled(color, self.lit(normal))
    }

    /// Brightness of a surface with this normal.
    pub fn lit(&self, normal: [f32; 3]) -> f32 {
        let light = self.expression.light;
        let facing = normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2];
        0.60 + 0.44 * facing.max(0.0)
    }

    fn bare_skin(&self, at: Point) -> Rgb {
        let person = self.person;
        let mut color = person.skin;
        let cheek = bump(square((at.x.abs() - 0.42) / 0.30) + square((at.y - 0.30) / 0.26));
        color = tinted(color, [1.02, 0.70, 0.68], cheek * person.blush);
        let forehead = bump(square(at.x / 0.5) + square((at.y + 0.42) / 0.28));
        over(&mut color, [1.0, 0.98, 0.94], forehead * 0.10);
        let under_lip = bump(square(at.x / 0.16) + square((at.y - person.mouth_y - 0.15) / 0.055));
        color = scaled(color, 1.0 - 0.16 * under_lip);

        let grain = self.skin.grain(at.x, at.y);
        let freckle = self.skin.freckle(at.x, at.y);
        color = scaled(color, 1.0 + 0.115 * grain);
        color = tinted(color, [0.66, 0.48, 0.40], freckle);
        if person.stubble > 0.0 {
            let outside_lips = 1.0 - bump(square(at.x / 0.24) + square((at.y - person.mouth_y) / 0.10));
            let chin = smoothstep(0.30, 0.62, at.y + 0.55 * square(at.x)) * outside_lips;
            let hairs = (0.55 + 0.75 * grain).clamp(0.0, 1.0);
            over(&mut color, scaled(person.hair, 0.9), person.stubble * chin * hairs * 0.8);
        }
        color
    }

    fn paint_nose(&self, at: Point, color: &mut Rgb) {
        let (tip, width) = (self.person.nose_y, self.person.nose_width);
        if at.x.abs() > 0.3 || at.y < -0.2 || at.y > tip + 0.2 {
            return;
        }
        let light_from = self.expression.light[0];
        let along = smoothstep(-0.15, 0.05, at.y) * (1.0 - smoothstep(tip - 0.05, tip + 0.06, at.y));
        let bridge_half = mix(0.035, width * 0.6, ((at.y + 0.1) / (tip + 0.1)).clamp(0.0, 1.0));
        *color = scaled(*color, 1.0 + 0.10 * along * bump(square(at.x / bridge_half)));
        let shadow_side = if light_from > 0.0 { -1.0 } else { 1.0 };
        let flank = bump(square((at.x - shadow_side * bridge_half * 1.5) / (bridge_half * 1.1)));
        *color = scaled(*color, 1.0 - (0.06 + 0.20 * light_from.abs()) * along * flank);

        let ball = bump((square(at.x) + square(at.y - tip + 0.02)) / square(width * 0.85));
        *color = scaled(*color, 1.0 + 0.10 * ball);
        let side = at.x.abs() - width;
        let wing = bump(square(side / 0.035) + square((at.y - tip - 0.01) / 0.06));
        *color = scaled(*color, 1.0 - 0.30 * wing);
        let below = bump(square(at.x / (width * 1.1)) + square((at.y - tip - 0.085) / 0.035));
        *color = scaled(*color, 1.0 - 0.24 * below);
        let nostril = square((at.x.abs() - width * 0.52) / (width * 0.36)) + square((at.y - tip - 0.055) / 0.022);
        over(color, [0.16, 0.07, 0.06], 0.75 * cover((nostril.sqrt() - 1.0) * 0.02, self.pixel));
    }

    fn paint_mouth(&self, at: Point, color: &mut Rgb) {
        let (person, expression) = (self.person, self.expression);
        let open = 0.15 * expression.mouth_open;
        let half = person.mouth_width * (1.0 + 0.12 * expression.smile - 0.18 * expression.mouth_open);
        let x = at.x / half;
        let y = at.y - person.mouth_y + 0.075 * expression.smile * (square(x) - 0.3);
        if x.abs() > 1.15 || y.abs() > 0.3 {
            return;
        }
        let round = (1.0 - square(x)).max(0.0);
        let (inner_top, inner_bottom) = (-0.35 * open * round, 0.65 * open * round);
        let bow = 1.0 - 0.34 * bump(square(x / 0.26));
        let outer_top = inner_top - person.lip_fullness * 0.85 * round.powf(0.8) * bow;
        let outer_bottom = inner_bottom + person.lip_fullness * 1.25 * round.powf(0.7);

        let inside = |top: f32, bottom: f32| cover((top - y).max(y - bottom), self.pixel);
        let upper = scaled(person.lips, 0.86);
        let shine = bump(square((y - inner_bottom - person.lip_fullness * 0.55) / 0.028) + square(x / 0.45));
        let lower = blended(person.lips, [1.0, 0.92, 0.90], 0.26 * shine);
        let lip = if y < 0.5 * (inner_top + inner_bottom) { upper } else { lower };
        let creases = 1.0 + 0.10 * self.skin.grain(at.x * 2.3, at.y * 0.7);
        over(color, scaled(lip, creases), 0.92 * inside(outer_top, outer_bottom));
        over(color, [0.20, 0.05, 0.06], inside(inner_top, inner_bottom) * smoothstep(0.0, 0.02, open));
        let teeth = inside(inner_top, (inner_top + 0.034).min(inner_bottom)) * smoothstep(0.02, 0.06, open);
        over(color, [0.93, 0.91, 0.86], teeth * smoothstep(1.0, 0.75, x.abs()));
        let tongue = bump(square(x / 0.6) + square((y - inner_bottom) / 0.05));
        over(color, [0.70, 0.28, 0.28], 0.7 * tongue * inside(inner_top, inner_bottom) * smoothstep(0.02, 0.08, open));
        let seam = cover(y.abs() - 0.007 * round, self.pixel) * (1.0 - smoothstep(0.005, 0.025, open));
        over(color, [0.30, 0.09, 0.09], 0.75 * seam);
        let corner = bump(square((x.abs() - 1.0) / 0.14) + square(y / 0.03));
        *color = scaled(*color, 1.0 - 0.30 * corner);
    }

    fn paint_eye(&self, at: Point, color: &mut Rgb) {
        let person = self.person;
        let side = at.x.signum();
        let x = (at.x.abs() - person.eye_x) / person.eye_width;
        let slant = person.eye_slant * x * 0.12;
        let y = at.y - person.eye_y + slant;
        if x.abs() > 1.7 || y.abs() > 0.3 {
            return;
        }
        let socket = bump(square(x / 1.6) + square((y + 0.02) / 0.21));
        *color = scaled(*color, 1.0 - 0.13 * socket);

        let round = (1.0 - square(x)).max(0.0);
        let open = self.expression.eyes_open;
        let (top, bottom) = (-person.eye_height * round * mix(-0.45, 1.0, open), person.eye_height * 0.62 * round);
        let eye = cover((top - y).max(y - bottom), self.pixel);
        if eye > 0.0 {
            let mut ball = scaled([0.95, 0.94, 0.93], 1.0 - 0.26 * smoothstep(0.05, 0.0, y - top));
            self.paint_iris(Point { x: (at.x.abs() - person.eye_x) * side, y }, &mut ball);
            over(color, ball, eye);
        }
        let lid_edge = (y - top).abs() - person.lashes * (0.55 + 0.5 * smoothstep(-0.6, 1.0, x)) * round.sqrt();
        let within = smoothstep(1.04, 0.94, x.abs());
        over(color, [0.13, 0.08, 0.07], 0.88 * within * cover(lid_edge, self.pixel));
        let lower_edge = bump(square((y - bottom) / 0.014));
        *color = scaled(*color, 1.0 - 0.22 * lower_edge * within);
        let crease = bump(square((y - top + 0.038 + 0.012 * (1.0 - open)) / 0.014)) * bump(square(x / 1.02));
        *color = scaled(*color, 1.0 - 0.24 * crease);
    }

    fn paint_iris(&self, from_center: Point, ball: &mut Rgb) {
        let person = self.person;
        let radius = person.eye_height * 0.92;
        let gaze = self.expression.gaze;
        let (x, y) = (from_center.x - gaze.x * person.eye_width * 0.32, from_center.y - gaze.y * 0.018 + 0.006);
        let distance = (square(x) + square(y)).sqrt();
        let rim = smoothstep(0.65, 1.0, distance / radius);
        let iris = scaled(person.iris, 1.15 - 0.65 * rim + 0.35 * (y / radius).clamp(-0.3, 0.8));
        over(ball, iris, cover(distance - radius, self.pixel));
        over(ball, [0.03, 0.03, 0.04], cover(distance - radius * 0.46, self.pixel));
        let glint = (square(x - 0.3 * radius) + square(y + 0.36 * radius)).sqrt();
        over(ball, [1.0, 1.0, 1.0], 0.95 * cover(glint - radius * 0.22, self.pixel));
    }

    fn paint_brow(&self, at: Point, color: &mut Rgb) {
        let person = self.person;
        let x = (at.x.abs() - person.eye_x - 0.025) / (person.eye_width * 1.22);
        let middle = person.eye_y
            - person.brow_gap
            - 0.03 * self.expression.brows_up
            - person.brow_arch * (1.0 - square(x - 0.10))
            + 0.02;
        let y = at.y - middle;
        if x.abs() > 1.1 || y.abs() > 0.12 {
            return;
        }
        let taper = (1.0 - square((x + 0.25) / 1.25)).max(0.0);
        let edge = y.abs() - person.brow_thickness * taper;
        let hairs = 0.80 + 0.30 * self.skin.grain(at.x * 1.7 + at.y * 1.2, at.y * 0.6);
        let color_of_brow = blended(scaled(person.hair, 0.72), [0.12, 0.08, 0.06], 0.25);
        over(color, color_of_brow, (hairs * cover(edge, self.pixel * 1.8)).clamp(0.0, 0.95));
    }
}
