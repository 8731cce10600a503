//! Which pictures of an H.264 stream must be decoded for the wanted ones: those that their lists of references can name,
//! and those that these name in turn. Deals in headers alone.
//!
//! Leaving out a picture that others could refer to makes the decoder fill the gap with a copy, which takes part in the
//! lists from then on. So the lists are made twice, with all pictures and with those that are kept, and unless every kept
//! picture has the same lists both times, all are kept. Source: ITU-T H.264 8.2.1, 8.2.4, 8.2.5, and for gaps what
//! FFmpeg does.

use super::h264::{List, Marking, Picture};

/// One coded video sequence, from an IDR picture to the next, in the order of decoding. Which pictures to decode; `None`
/// where that is not certain.
pub(super) fn needed(pictures: &[&Picture], wanted: impl Fn(usize) -> bool) -> Option<Vec<bool>> {
    let all = simulate(pictures, &vec![true; pictures.len()])?;
    let mut keep: Vec<_> = (0..pictures.len()).map(|picture| picture == 0 || wanted(picture)).collect();
    for picture in (0..pictures.len()).rev().filter(|picture| all[*picture].is_some()) {
        if keep[picture] {
            for reference in all[picture].iter().flat_map(|seen| seen.lists.iter().flatten()) {
                keep[(*reference)?] = true;
            }
        }
    }
    let kept = simulate(pictures, &keep)?;
    let same = keep.iter().zip(kept.iter().zip(&all)).all(|(keep, (kept, all))| !keep || kept == all);
    same.then_some(keep)
}

/// What a picture finds when it is decoded.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    order: i64,
    /// Pictures by number; `None` is one that fills a gap.
    lists: Vec<Vec<Option<usize>>>,
}

#[derive(Debug, Clone, Copy)]
struct Reference {
    picture: Option<usize>,
    frame_num: i64,
    order: i64,
}

/// The decoder's memory.
#[derive(Default)]
struct Buffer {
    /// The last that was decoded comes first.
    references: Vec<Reference>,
    last_frame_num: i64,
    last_order: [i64; 2],
}

fn simulate(pictures: &[&Picture], keep: &[bool]) -> Option<Vec<Option<Seen>>> {
    let first = pictures.first().filter(|first| first.idr)?;
    let mut buffer = Buffer { last_order: [0, first.order_lsb], ..Buffer::default() };
    let mut seen = Vec::with_capacity(pictures.len());
    for (number, (picture, keep)) in pictures.iter().zip(keep).enumerate() {
        if picture.limits != first.limits || picture.idr != (number == 0) {
            return None;
        }
        seen.push(if *keep { Some(buffer.decode(number, picture)?) } else { None });
    }
    Some(seen)
}

impl Buffer {
    fn decode(&mut self, number: usize, picture: &Picture) -> Option<Seen> {
        self.fill_gap(picture)?;
        let order = self.order(picture);
        let lists = picture.slices.iter().flat_map(|lists| self.lists(lists, picture, order).unwrap_or_default());
        let lists: Vec<_> = lists.collect();
        // A list that cannot be made is missing.
        if lists.len() != picture.slices.iter().map(Vec::len).sum::<usize>() {
            return None;
        }
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
            let reference = Reference { picture: Some(number), frame_num: picture.frame_num, order };
            self.references.insert(0, reference);
            let lsb = picture.order_lsb;
            self.last_order = [order - lsb, lsb];
            if self.references.len() > picture.limits.max_references.max(1) {
                return None;
            }
        }
        self.last_frame_num = picture.frame_num;
        Some(Seen { order, lists })
    }

    /// Copies take the place of references whose numbers are skipped, no more than there is room for.
    fn fill_gap(&mut self, picture: &Picture) -> Option<()> {
        let (frame_num, max) = (picture.frame_num, picture.limits.max_frame_num);
        let room = picture.limits.max_references as i64;
        if (frame_num - self.last_frame_num).rem_euclid(max) > room {
            self.last_frame_num = (frame_num - room - 1).rem_euclid(max);
        }
        while frame_num != self.last_frame_num && frame_num != (self.last_frame_num + 1) % max {
            self.last_frame_num = (self.last_frame_num + 1) % max;
            let order = self.references.first()?.order + 2;
            self.slide(picture.limits.max_references);
            self.references.insert(0, Reference { picture: None, frame_num: self.last_frame_num, order });
        }
        Some(())
    }

    fn slide(&mut self, room: usize) {
        if self.references.len() >= room {
            self.references.pop();
        }
    }

    /// The picture's place in the order of display, from its last bits.
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

    fn lists(&self, lists: &[List], picture: &Picture, order: i64) -> Option<Vec<Vec<Option<usize>>>> {
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

    /// The references before a place in the order of display, the nearest first, and those after it likewise.
    fn by_order(&self, order: i64, before_first: bool) -> Vec<Reference> {
        let (mut before, mut after): (Vec<_>, Vec<_>) =
            self.references.iter().copied().partition(|reference| reference.order <= order);
        // Of two at the same place, the older counts before and the newer after.
        before.reverse();
        before.sort_by_key(|reference| -reference.order);
        before.dedup_by_key(|reference| reference.order);
        after.sort_by_key(|reference| reference.order);
        after.dedup_by_key(|reference| reference.order);
        if before_first { [before, after].concat() } else { [after, before].concat() }
    }

    fn modified(&self, mut references: Vec<Reference>, list: &List, picture: &Picture) -> Option<Vec<Option<usize>>> {
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
