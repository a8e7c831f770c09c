//! The batches of training in their order, one after the other over all epochs.

use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::Scope;

use super::fit::FitConfig;
use crate::data::{Dataset, shuffled_order};
use crate::{Error, Result};

/// Pass after pass over the samples, each in an order of its own.
pub struct Order<'d> {
    /// How many samples there are.
    len: usize,
    config: &'d FitConfig,
    order: Vec<usize>,
    /// The pass that `order` is of, from 1; 0: none yet.
    pass: u64,
}

impl<'d> Order<'d> {
    pub fn new(len: usize, config: &'d FitConfig) -> Self {
        Order { len, config, order: Vec::new(), pass: 0 }
    }

    /// The samples of a batch, by its number from the run's beginning.
    pub fn batch(&mut self, number: u64) -> &[usize] {
        let (len, size) = (self.len, self.config.batch_size);
        let count = len.div_ceil(size) as u64;
        let (pass, within) = (number / count + 1, (number % count) as usize);
        if self.pass != pass {
            if self.config.shuffle {
                shuffled_order(len, self.config.seed, pass, &mut self.order);
            } else if self.pass == 0 {
                self.order.extend(0..len);
            }
            self.pass = pass;
        }
        &self.order[within * size..len.min((within + 1) * size)]
    }
}

/// The batches of a dataset in their order.
pub struct Batches<'d> {
    dataset: &'d Dataset,
    order: Order<'d>,
    /// The batches that came before, from the run's beginning.
    next: u64,
}

impl Batches<'_> {
    fn fill(&mut self, batch: &mut Dataset) -> Result<()> {
        let rows = self.order.batch(self.next);
        self.next += 1;
        self.dataset.gather_into(rows, batch)
    }
}

/// Gives the batches: filled when asked for, or, where they are read from disk, while the one before is trained on.
pub enum Feed<'d> {
    /// What is in memory is gathered sooner than another thread is woken.
    Now(Box<(Batches<'d>, Dataset)>),
    /// From a thread that is one batch ahead.
    Ahead(Box<Ahead>),
}

/// The other end of a thread that reads.
pub struct Ahead {
    filled: Receiver<Result<Dataset>>,
    used: Sender<Dataset>,
    current: Option<Dataset>,
}

impl<'d> Feed<'d> {
    /// All batches from number `next` on, counted over all epochs. The thread, if there is one, ends when the feed is dropped.
    pub fn new<'s>(scope: &'s Scope<'s, 'd>, dataset: &'d Dataset, config: &'d FitConfig, next: u64) -> Self {
        let mut batches = Batches { dataset, order: Order::new(dataset.len(), config), next };
        if dataset.inputs().in_memory().is_some() {
            return Feed::Now(Box::new((batches, dataset.new_batch())));
        }
        let (to_train, filled) = sync_channel(1);
        let (used, to_fill) = channel();
        // One is trained on, one waits, one is being filled.
        (0..3).for_each(|_| drop(used.send(dataset.new_batch())));
        scope.spawn(move || {
            while let Ok(mut batch) = to_fill.recv() {
                if to_train.send(batches.fill(&mut batch).map(|()| batch)).is_err() {
                    break;
                }
            }
        });
        Feed::Ahead(Box::new(Ahead { filled, used, current: None }))
    }

    /// The next batch.
    ///
    /// # Errors
    /// It can't be read.
    pub fn next(&mut self) -> Result<&Dataset> {
        match self {
            Feed::Now(now) => {
                let (batches, batch) = &mut **now;
                batches.fill(batch)?;
                Ok(batch)
            }
            Feed::Ahead(ahead) => {
                if let Some(batch) = ahead.current.take() {
                    // Should the thread be gone, it is said below.
                    let _ = ahead.used.send(batch);
                }
                let gone = |_| Error::failure("the thread that reads the data ended");
                Ok(ahead.current.insert(ahead.filled.recv().map_err(gone)??))
            }
        }
    }
}
