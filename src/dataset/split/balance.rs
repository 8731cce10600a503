//! The distribution of groups over the sides of the split, so that each side has its share of reals and of fakes. Knows
//! nothing of people and paths.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::dataset::record::{Label, Split, VideoRecord};

/// Numbers of reals and fakes.
pub(super) type Counts = [usize; 2];

/// The cost of a side without reals or fakes. It is larger than all deviations from the shares together.
const EMPTY_SIDE_COST: f64 = 1e3;

/// The smallest reduction of the cost that counts; a smaller one is a rounding error.
const MIN_GAIN: f64 = 1e-9;

/// The configured shares, training first.
pub(super) type Shares = Vec<(Split, f64)>;

/// One side of the split while groups are assigned to it.
pub(super) struct Side {
    pub(super) split: Split,
    totals: Counts,
    wanted: [f64; 2],
    pub(super) held: Counts,
    /// Its groups by their counts. Groups with the same counts are interchangeable.
    pub(super) groups: BTreeMap<Counts, Vec<usize>>,
}

impl Side {
    fn new(split: Split, share: f64, totals: Counts) -> Self {
        let wanted = totals.map(|total| share * total as f64);
        Self { split, totals, wanted, held: [0, 0], groups: BTreeMap::new() }
    }

    /// The deviation from the wanted counts after this side gains one group and loses another.
    fn cost_with(&self, gained: Counts, lost: Counts) -> f64 {
        let class_cost = |class: usize| {
            let held = self.held[class] + gained[class] - lost[class];
            let off = (held as f64 - self.wanted[class]) / self.totals[class].max(1) as f64;
            off * off + if held == 0 { EMPTY_SIDE_COST } else { 0.0 }
        };
        class_cost(0) + class_cost(1)
    }

    fn add(&mut self, counts: Counts, group: usize) {
        self.held = [self.held[0] + counts[0], self.held[1] + counts[1]];
        self.groups.entry(counts).or_default().push(group);
    }

    fn remove(&mut self, counts: Counts) -> Option<usize> {
        let same = self.groups.get_mut(&counts)?;
        let group = same.pop()?;
        if same.is_empty() {
            self.groups.remove(&counts);
        }
        self.held = [self.held[0] - counts[0], self.held[1] - counts[1]];
        Some(group)
    }
}

/// An exchange: a group with the counts `given` moves to another side, and a group with the counts `returned` may move
/// back.
struct Exchange {
    from: usize,
    to: usize,
    given: Counts,
    returned: Option<Counts>,
}

impl Exchange {
    fn gain(&self, sides: &[Side]) -> f64 {
        let (from, to) = (&sides[self.from], &sides[self.to]);
        let returned = self.returned.unwrap_or([0, 0]);
        let before = from.cost_with([0, 0], [0, 0]) + to.cost_with([0, 0], [0, 0]);
        before - from.cost_with(returned, self.given) - to.cost_with(self.given, returned)
    }

    fn apply(&self, sides: &mut [Side]) {
        let given = sides[self.from].remove(self.given);
        let returned = self.returned.and_then(|counts| sides[self.to].remove(counts).map(|group| (counts, group)));
        if let Some(group) = given {
            sides[self.to].add(self.given, group);
        }
        if let Some((counts, group)) = returned {
            sides[self.from].add(counts, group);
        }
    }
}

/// The move or swap that reduces the cost most; `None` if none reduces it.
fn best_exchange(sides: &[Side]) -> Option<Exchange> {
    let mut best = None;
    let mut best_gain = MIN_GAIN;
    for from in 0..sides.len() {
        for to in (0..sides.len()).filter(|to| *to != from) {
            for given in sides[from].groups.keys() {
                let swaps = sides[to].groups.keys().copied().map(Some);
                for returned in std::iter::once(None).chain(swaps) {
                    let exchange = Exchange { from, to, given: *given, returned };
                    let gain = exchange.gain(sides);
                    if gain > best_gain {
                        best_gain = gain;
                        best = Some(exchange);
                    }
                }
            }
        }
    }
    best
}

pub(super) fn count(labels: impl Iterator<Item = Label>) -> Counts {
    labels.fold([0, 0], |[reals, fakes], label| match label {
        Label::Real => [reals + 1, fakes],
        Label::Fake => [reals, fakes + 1],
    })
}

/// Distributes groups over sides, as close to the shares as this search can get.
pub(super) fn fill(videos: &[VideoRecord], groups: &[Vec<usize>], shares: &Shares, seed: u64) -> Vec<Side> {
    let members = |group: usize| groups[group].iter().map(|video| videos[*video].label);
    let counts: Vec<Counts> = (0..groups.len()).map(|group| count(members(group))).collect();
    let totals = count(groups.iter().flatten().map(|video| videos[*video].label));
    let whole: f64 = shares.iter().map(|(_, share)| share).sum();
    let mut sides: Vec<Side> = shares.iter().map(|(split, share)| Side::new(*split, share / whole, totals)).collect();

    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    for group in order {
        let rise = |side: &Side| side.cost_with(counts[group], [0, 0]) - side.cost_with([0, 0], [0, 0]);
        let cheapest = sides.iter_mut().min_by(|a, b| rise(a).total_cmp(&rise(b)));
        cheapest.expect("training is always a side").add(counts[group], group);
    }
    while let Some(exchange) = best_exchange(&sides) {
        exchange.apply(&mut sides);
    }
    sides
}
