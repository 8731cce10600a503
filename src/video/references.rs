//! The H.264 pictures that must be decoded for the wanted ones: those in their reference lists, and the references of
//! these in turn. This file parses no bytes; `h264.rs` parses the headers. Source: ITU-T H.264 8.2.1, 8.2.4, 8.2.5.

use super::h264::{List, Marking, Picture};

/// The pictures to decode in one coded video sequence (from an IDR picture to the next, in decoding order). The decoder
/// must also get the headers of all other pictures, so that its reference lists are the same as in a full decode.
/// `None` if the result is uncertain.
pub(super) fn needed(pictures: &[&Picture], wanted: impl Fn(usize) -> bool) -> Option<Vec<bool>> {
    let first = pictures.first().filter(|first| first.idr)?;
    let mut buffer = Buffer { last_order: [0, first.order_lsb], ..Buffer::default() };
    let mut named = Vec::with_capacity(pictures.len());
    for (number, picture) in pictures.iter().enumerate() {
        if picture.limits != first.limits || picture.idr != (number == 0) {
            return None;
        }
        named.push(buffer.decode(number, picture)?);
    }
    let mut needed: Vec<_> = (0..pictures.len()).map(|picture| picture == 0 || wanted(picture)).collect();
    for picture in (0..pictures.len()).rev() {
        if needed[picture] {
            named[picture].iter().for_each(|reference| needed[*reference] = true);
        }
    }
    Some(needed)
}

#[derive(Debug, Clone, Copy)]
struct Reference {
    picture: usize,
    frame_num: i64,
    order: i64,
}

/// The decoded picture buffer.
#[derive(Default)]
struct Buffer {
    /// The references; the one that was decoded last comes first.
    references: Vec<Reference>,
    last_frame_num: i64,
    last_order: [i64; 2],
}

impl Buffer {
    /// Adds a picture, and returns its possible references.
    fn decode(&mut self, number: usize, picture: &Picture) -> Option<Vec<usize>> {
        let gap = (picture.frame_num - self.last_frame_num).rem_euclid(picture.limits.max_frame_num) > 1;
        if gap {
            return None;
        }
        let order = self.order(picture);
        let lists = picture.slices.iter().map(|lists| self.lists(lists, picture, order));
        let named: Vec<_> = lists.collect::<Option<Vec<_>>>()?.into_iter().flatten().flatten().collect();
        match &picture.marking {
            Marking::NoReference => {}
            Marking::Sliding => self.slide(picture.limits.max_references),
            Marking::Named(differences) => {
                for difference in differences {
                    let frame_num = (picture.frame_num - difference).rem_euclid(picture.limits.max_frame_num);
                    let at = self.references.iter().position(|reference| reference.frame_num == frame_num)?;
                    self.references.remove(at);
                }
            }
        }
        if picture.marking != Marking::NoReference {
            let reference = Reference { picture: number, frame_num: picture.frame_num, order };
            self.references.insert(0, reference);
            let lsb = picture.order_lsb;
            self.last_order = [order - lsb, lsb];
            if self.references.len() > picture.limits.max_references.max(1) {
                return None;
            }
        }
        self.last_frame_num = picture.frame_num;
        Some(named)
    }

    fn slide(&mut self, room: usize) {
        if self.references.len() >= room {
            self.references.pop();
        }
    }

    /// The picture order count, from its least significant bits.
    fn order(&self, picture: &Picture) -> i64 {
        let ([high, last], lsb, max) = (self.last_order, picture.order_lsb, picture.limits.max_order_lsb);
        if lsb < last && last - lsb >= max / 2 {
            high + max + lsb
        } else if lsb > last && lsb - last > max / 2 {
            high - max + lsb
        } else {
            high + lsb
        }
    }

    fn lists(&self, lists: &[List], picture: &Picture, order: i64) -> Option<Vec<Vec<usize>>> {
        let mut initial = match lists {
            [_, _] => vec![self.by_order(order, true), self.by_order(order, false)],
            _ => vec![self.references.clone(); lists.len()],
        };
        if let [first, second] = initial.as_mut_slice()
            && second.len() > 1
            && first.iter().map(|reference| reference.frame_num).eq(second.iter().map(|reference| reference.frame_num))
        {
            second.swap(0, 1);
        }
        lists.iter().zip(initial).map(|(list, initial)| self.modified(initial, list, picture)).collect()
    }

    /// The references before a picture order count, the nearest first, and those after it, the nearest first.
    fn by_order(&self, order: i64, before_first: bool) -> Vec<Reference> {
        let (mut before, mut after): (Vec<_>, Vec<_>) =
            self.references.iter().copied().partition(|reference| reference.order <= order);
        // Of two references with the same count, the older is kept before it and the newer after it.
        before.reverse();
        before.sort_by_key(|reference| -reference.order);
        before.dedup_by_key(|reference| reference.order);
        after.sort_by_key(|reference| reference.order);
        after.dedup_by_key(|reference| reference.order);
        if before_first { [before, after].concat() } else { [after, before].concat() }
    }

    fn modified(&self, mut references: Vec<Reference>, list: &List, picture: &Picture) -> Option<Vec<usize>> {
        references.truncate(list.length);
        let (mut frame_num, max) = (picture.frame_num, picture.limits.max_frame_num);
        if list.steps.len() > list.length {
            return None;
        }
        for (at, step) in list.steps.iter().enumerate() {
            frame_num = (frame_num + step).rem_euclid(max);
            let named = *self.references.iter().rfind(|reference| reference.frame_num == frame_num)?;
            references.insert(at.min(references.len()), named);
            let mut place = 0;
            references.retain(|reference| {
                place += 1;
                place <= at + 1 || reference.frame_num != frame_num
            });
            references.truncate(list.length);
        }
        let full = references.len() == list.length;
        full.then(|| references.iter().map(|reference| reference.picture).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::h264::Limits;
    use super::*;

    /// A picture with this order count, whose slices have reference lists of these lengths.
    fn picture(number: usize, order: i64, lengths: &[usize], marking: Marking) -> Picture {
        let list = |length: &usize| List { length: *length, steps: Vec::new() };
        Picture {
            limits: Limits { max_frame_num: 16, max_order_lsb: 64, max_references: 4 },
            idr: number == 0,
            frame_num: number as i64,
            order_lsb: order,
            marking,
            slices: vec![lengths.iter().map(list).collect()],
            header: Vec::new(),
        }
    }

    #[test]
    fn the_first_list_looks_back_and_the_second_ahead() {
        let needed_by = |lengths: &[usize]| {
            let intra = [0, 8, 16, 24].iter().enumerate();
            let mut pictures: Vec<_> = intra.map(|(at, order)| picture(at, *order, &[], Marking::Sliding)).collect();
            // This picture is shown between the second and the third.
            pictures.push(picture(4, 12, lengths, Marking::NoReference));
            needed(&pictures.iter().collect::<Vec<_>>(), |picture| picture == 4).unwrap()
        };
        assert_eq!(needed_by(&[1, 1]), [true, true, true, false, true]);
        assert_eq!(needed_by(&[1, 2]), [true, true, true, true, true]);
        assert_eq!(needed_by(&[2, 1]), [true, true, true, false, true], "the very first is always there");
        assert_eq!(needed_by(&[2]), [true, false, true, true, true], "a P-picture names those decoded last");
    }
}
