//! The same work on each of many items, by several threads, and waiting; both end when the user wants to stop. Knows
//! nothing of the items.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Calls `work` for each item, in `threads` threads of which the caller's is one. Returns the results in the order of
/// the items. After `stop` is set, it ends early, without the results of the remaining items.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    stop: &AtomicBool,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        while !stop.load(Ordering::Relaxed) {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else { return };
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((position, result));
        }
    };
    thread::scope(|scope| {
        (1..threads.min(items.len())).for_each(|_| drop(scope.spawn(run)));
        run();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(position, _)| *position);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Waits for `interval`, or until `stop` is set if that comes first. Returns whether it has waited to the end.
pub fn wait(interval: Duration, stop: &AtomicBool) -> bool {
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let left = interval.saturating_sub(started.elapsed());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_and_end_with_stop() {
        let items: Vec<usize> = (0..100).collect();
        let go_on = AtomicBool::new(false);
        for threads in [0, 1, 3, 200] {
            assert_eq!(in_parallel(&items, threads, &go_on, |item| 2 * item), (0..200).step_by(2).collect::<Vec<_>>());
        }
        let stop = AtomicBool::new(false);
        let work = |item: &usize| stop.fetch_or(*item == 9, Ordering::Relaxed);
        assert_eq!(in_parallel(&items, 1, &stop, work).len(), 10);
        assert!(in_parallel(&items, 3, &stop, |item| *item).is_empty());
    }
}
