//! Places in a training step, and in the copy for a checkpoint, where tests make memory run out. Knows nothing of them.

/// Does nothing outside tests.
#[cfg(not(test))]
pub(super) fn fault() -> crate::torch::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use injection::FAULTS;
#[cfg(test)]
pub(super) use injection::fault;

#[cfg(test)]
mod injection {
    use std::cell::RefCell;

    use tch::TchError;

    use crate::torch::Result;

    thread_local! {
        /// One entry for each failure, the last one first: the number of calls of [`fault`] that pass before it, and
        /// its message.
        pub(crate) static FAULTS: RefCell<Vec<(usize, &'static str)>> = const { RefCell::new(Vec::new()) };
    }

    pub(in crate::train) fn fault() -> Result<()> {
        FAULTS.with_borrow_mut(|faults| match faults.last_mut() {
            Some((0, message)) => {
                let error = TchError::Torch((*message).to_owned());
                faults.pop();
                Err(error)
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        })
    }
}
