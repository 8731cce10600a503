//! Paints a person in a pose: shoulders, neck, ears, head and hair; `face` paints the inner face. The background and
//! the light of the room are in `scene.rs`.
//!
//! Converts between frame, head and face coordinates.

use super::face::{Expression, Face};
use super::paint::{Canvas, Point, Rgb, bump, cover, mix, over, scaled, smoothstep, square};
use super::person::{HairStyle, Person, Skin};

/// Position of the head and expression of the face at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    /// The middle of the head, in pixels.
    pub center: Point,
    /// Pixels per face unit (half the head's height).
    pub unit: f32,
    /// Sine and cosine of the tilt to the shoulder.
    pub roll: (f32, f32),
    /// Turn to the side, about -1 to 1.
    pub yaw: f32,
    /// Nod, about -1 to 1.
    pub pitch: f32,
    /// Where the shoulders are, in pixels: they follow the head only in part.
    pub shoulders: Point,
    pub expression: Expression,
}

impl Pose {
    /// Converts a point from frame to head coordinates.
    pub fn on_head(&self, at: Point) -> Point {
        let (sin, cos) = self.roll;
        let (x, y) = ((at.x - self.center.x) / self.unit, (at.y - self.center.y) / self.unit);
        Point { x: cos * x + sin * y, y: cos * y - sin * x }
    }

    /// Converts a point from head to face coordinates: the face moves over the curved head as the head turns.
    pub fn on_face(&self, head: Point, person: &Person) -> Point {
        let across = (1.0 - square(head.x / person.head_width)).max(0.0);
        let down = (1.0 - square(head.y)).max(0.0);
        Point { x: head.x - 0.24 * self.yaw * across, y: head.y - 0.16 * self.pitch * down }
    }
}

/// Surface normal of the egg-shaped head, and the distance from its centre, 1 at the outline.
pub(super) fn normal(head: Point, person: &Person) -> ([f32; 3], f32) {
    let (x, y) = (head.x / person.width_at(head.y), head.y);
    let squared = square(x) + square(y);
    let z = (1.0 - squared).max(0.0).sqrt();
    ([x, y * 0.8, z], squared.sqrt())
}

/// What a person wears.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clothes {
    pub color: Rgb,
    pub trim: Rgb,
    /// Stripes per face unit; 0 for none.
    pub stripes: f32,
    /// Depth of the neckline.
    pub neckline: f32,
}

/// One person in one frame.
pub(super) struct Portrait<'a> {
    pub person: &'a Person,
    pub skin: &'a Skin,
    pub clothes: &'a Clothes,
    pub pose: &'a Pose,
}

impl Portrait<'_> {
    /// Paints the person over what is on the canvas.
    pub fn paint(&self, canvas: &mut Canvas) {
        let pixel = 1.0 / self.pose.unit;
        let face = Face { person: self.person, skin: self.skin, expression: self.pose.expression, pixel };
        canvas.paint(|at, color| {
            let head = self.pose.on_head(at);
            let body = Point {
                x: (at.x - self.pose.shoulders.x) / self.pose.unit,
                y: (at.y - self.pose.shoulders.y) / self.pose.unit,
            };
            if head.x.abs() < 1.3 {
                self.paint_hair_behind(head, pixel, color);
            }
            self.paint_body(body, pixel, color);
            if head.x.abs() < 1.15 && head.y.abs() < 1.4 {
                self.paint_ear(head, &face, color);
                self.paint_head(head, &face, color);
                self.paint_hair(head, &face, color);
            }
        });
    }

    fn paint_body(&self, at: Point, pixel: f32, color: &mut Rgb) {
        if at.y < 0.4 {
            return;
        }
        let (person, clothes) = (self.person, self.clothes);
        let light = self.pose.expression.light[0];
        let neck_half = person.head_width * 0.56 + 0.18 * smoothstep(0.95, 1.35, at.y);
        let round = (1.0 - square(at.x / neck_half)).max(0.0).sqrt();
        let shade =
            (0.66 + 0.20 * round + 0.15 * light * at.x / neck_half) * mix(0.74, 1.0, smoothstep(0.85, 1.35, at.y));
        over(color, scaled(person.skin, shade), cover(at.x.abs() - neck_half, pixel));

        let slope = 1.18 + 0.42 * square(at.x / 1.1) + clothes.neckline * bump(square(at.x / 0.42));
        let outside = (slope - at.y).max(at.x.abs() - 1.45);
        let mut cloth = clothes.color;
        if clothes.stripes > 0.0 {
            let wave = (at.y * clothes.stripes * std::f32::consts::TAU).sin();
            over(&mut cloth, clothes.trim, smoothstep(-0.25, 0.25, wave));
        }
        over(&mut cloth, clothes.trim, cover(at.y - slope - 0.07, pixel) * cover(at.x.abs() - 0.55, pixel));
        let fold = 0.86 + 0.14 * (1.0 - square((at.x / 1.4).clamp(-1.0, 1.0))) + 0.18 * light * at.x;
        over(color, scaled(cloth, fold), cover(outside, pixel));
    }

    fn paint_ear(&self, head: Point, face: &Face, color: &mut Rgb) {
        let person = self.person;
        let middle = person.width_at(0.1) * 0.99;
        let (x, y) = (head.x.abs() - middle, head.y - 0.08);
        if x.abs() > 1.2 * person.ear || y.abs() > 1.8 * person.ear {
            return;
        }
        let distance = (square(x / person.ear) + square(y / (person.ear * 1.6))).sqrt();
        let ear = cover((distance - 1.0) * person.ear, face.pixel);
        if ear > 0.0 {
            let inner = bump(square((x - 0.02) / (person.ear * 0.6)) + square(y / person.ear));
            let facing = face.lit([head.x.signum() * 0.6, 0.0, 0.7]);
            over(color, scaled(person.skin, facing * 0.94 * (1.0 - 0.30 * inner)), ear);
        }
    }

    fn paint_head(&self, head: Point, face: &Face, color: &mut Rgb) {
        let (normal, edge) = normal(head, self.person);
        let inside = cover((edge - 1.0) * 0.8, face.pixel);
        if inside > 0.0 {
            let skin = face.paint(self.pose.on_face(head, self.person), normal);
            let rim = 1.0 - 0.22 * smoothstep(0.80, 1.02, edge);
            over(color, scaled(skin, rim), inside);
        }
    }

    /// Paints the hair that is visible behind the head.
    fn paint_hair_behind(&self, head: Point, pixel: f32, color: &mut Rgb) {
        let width = self.person.head_width;
        let distance = match self.person.style {
            HairStyle::Long => {
                let half = width * (1.22 + 0.10 * smoothstep(-0.2, 1.1, head.y));
                let crown = ((square(head.x / half) + square((head.y + 0.02) / 1.17)).sqrt() - 1.0) * 0.9;
                let fall = (head.x.abs() - half).max(head.y - 1.35).max(-head.y);
                crown.min(fall)
            }
            HairStyle::Curly => {
                let curl = 0.05 * (head.x * 17.0 + 3.0 * head.y).sin() * (head.y * 15.0 - 2.0 * head.x).sin();
                ((square(head.x / (width * 1.38)) + square((head.y + 0.28) / 1.0)).sqrt() - 1.0 + curl) * 0.9
            }
            _ => return,
        };
        let inside = cover(distance, pixel);
        if inside > 0.0 {
            over(color, scaled(self.person.hair, 0.62 * self.strands(head)), inside);
        }
    }

    /// Paints the hair on the skull and over the forehead.
    fn paint_hair(&self, head: Point, face: &Face, color: &mut Rgb) {
        let person = self.person;
        if head.y > 0.35 {
            return;
        }
        let volume = match person.style {
            HairStyle::Shaved => 0.012,
            HairStyle::Short | HairStyle::Fringe => 0.085,
            HairStyle::Parted => 0.11,
            HairStyle::Long => 0.12,
            HairStyle::Curly => 0.15 + 0.04 * (head.x * 23.0).sin() * (head.y * 21.0 + 1.0).sin(),
        };
        let (x, y) = (head.x / (person.width_at(head.y) + volume * 0.8), head.y / (1.0 + volume));
        let outside = ((square(x) + square(y)).sqrt() - 1.0) * 0.85;
        let line = self.hairline(head);
        let inside = cover(outside.max(head.y - line), face.pixel * 1.4);
        if inside > 0.0 {
            let z = (1.0 - square(x) - square(y)).max(0.0).sqrt();
            let band = bump(square((head.y + 0.80 - 0.25 * square(head.x)) / 0.16));
            let light = face.lit([x, y, z]) * self.strands(head) * (1.0 + 0.32 * band);
            let opacity = if person.style == HairStyle::Shaved { 0.55 } else { 1.0 };
            let lift = if person.style == HairStyle::Shaved { 0.0 } else { 0.03 * band };
            over(color, scaled(person.hair, light).map(|channel| channel + lift), inside * opacity);
        }
        let shadow = bump(square((head.y - line - 0.03) / 0.06)) * cover(outside, face.pixel);
        *color = scaled(*color, 1.0 - 0.16 * shadow * (1.0 - inside));
    }

    /// Height of the hairline across the forehead.
    fn hairline(&self, head: Point) -> f32 {
        let person = self.person;
        let across = head.x / person.head_width;
        let temples = smoothstep(0.74, 0.93, across.abs());
        let (front, sides) = match person.style {
            HairStyle::Fringe => (person.hairline + 0.17 + 0.018 * (head.x * 31.0).sin(), 0.05),
            HairStyle::Parted => {
                let from_part = (across * person.part_side + 0.45).abs();
                (person.hairline - 0.10 + 0.26 * from_part, 0.0)
            }
            HairStyle::Long => (person.hairline - 0.10 + 0.40 * square(across), 0.34),
            HairStyle::Curly => (person.hairline + 0.03 * (head.x * 24.0).sin(), 0.02),
            HairStyle::Short => (person.hairline + 0.05 * across.abs(), -0.02),
            HairStyle::Shaved => (person.hairline + 0.03, -0.10),
        };
        mix(front, sides, temples)
    }

    /// Brightness variation along strands of hair, which run down from the crown.
    fn strands(&self, head: Point) -> f32 {
        let along = head.x / (1.45 + head.y).max(0.55);
        0.92 + 0.24 * self.skin.grain(along * 2.6, head.y * 0.22)
    }
}
