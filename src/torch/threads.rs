//! The number of threads that libtorch computes with on behalf of one thread of this program. Starts no thread, and
//! changes nothing for other threads.

use std::marker::PhantomData;

use super::ffi;

/// Restricts libtorch to one thread for computations of the current thread, for the life of this value. Other threads
/// keep their number.
#[derive(Debug)]
pub struct OneThread {
    /// The number to restore; `None` if libtorch was built without OpenMP.
    previous: Option<i32>,
    /// The setting belongs to the thread, so the value must stay on it.
    not_send: PhantomData<*const ()>,
}

impl OneThread {
    /// From here on, libtorch uses one thread for computations of the current thread.
    #[must_use]
    pub fn enter() -> Self {
        let previous = ffi::threads_of_this_thread();
        ffi::set_threads_of_this_thread(1);
        Self { previous, not_send: PhantomData }
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        if let Some(threads) = self.previous {
            ffi::set_threads_of_this_thread(threads);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_holds_for_its_thread_only_and_is_put_back() {
        std::thread::spawn(|| {
            let before = tch::get_num_threads();
            let one_thread = OneThread::enter();
            assert_eq!(tch::get_num_threads(), 1);
            assert_eq!(std::thread::spawn(tch::get_num_threads).join().unwrap(), before);
            drop(one_thread);
            assert_eq!(tch::get_num_threads(), before);
        })
        .join()
        .unwrap();
    }
}
