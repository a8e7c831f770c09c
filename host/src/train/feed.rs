//! Provides the training batches in order, across all epochs.

use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::Scope;

use super::fit_config::FitConfig;
use crate::data::{Dataset, shuffled_order};
use crate::{Error, Result};

/// The order of the samples: pass after pass, each shuffled differently.
pub struct Order<'d> {
    /// The number of samples.
    len: usize,
    config: &'d FitConfig,
    order: Vec<usize>,
    /// The pass that `order` belongs to, from 1; 0 before the first pass.
    pass: u64,
}

impl<'d> Order<'d> {
    pub fn new(len: usize, config: &'d FitConfig) -> Self {
        Order { len, config, order: Vec::new(), pass: 0 }
    }

    /// Returns the samples of a batch, numbered from the start of the run.
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

/// The batches of a dataset in order.
pub struct Batches<'d> {
    dataset: &'d Dataset,
    order: Order<'d>,
    /// The number of the next batch, counted from the start of the run.
    next: u64,
}

impl Batches<'_> {
    fn fill(&mut self, batch: &mut Dataset) -> Result<()> {
        let rows = self.order.batch(self.next);
        self.next += 1;
        self.dataset.gather_into(rows, batch)
    }
}

/// Provides batches: gathered on demand, or, for data read from disk, prefetched while the previous batch is trained
/// on.
pub enum Feed<'d> {
    /// Data in memory: gathering a batch is faster than waking a thread.
    Now(Box<(Batches<'d>, Dataset)>),
    /// Data on disk: a thread reads one batch ahead.
    Ahead(Box<Ahead>),
}

/// The receiving end of the reading thread.
pub struct Ahead {
    filled: Receiver<Result<Dataset>>,
    used: Sender<Dataset>,
    current: Option<Dataset>,
}

impl<'d> Feed<'d> {
    /// Provides all batches from number `next` on, counted across epochs. The reading thread, if any, ends when the
    /// feed is dropped.
    pub fn new<'s>(scope: &'s Scope<'s, 'd>, dataset: &'d Dataset, config: &'d FitConfig, next: u64) -> Self {
        let mut batches = Batches { dataset, order: Order::new(dataset.len(), config), next };
        if dataset.inputs().in_memory().is_some() {
            return Feed::Now(Box::new((batches, dataset.new_batch())));
        }
        let (to_train, filled) = sync_channel(1);
        let (used, to_fill) = channel();
        // One batch is trained on, one waits, one is being filled.
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

    /// Returns the next batch.
    ///
    /// # Errors
    /// Returns an error if the batch can't be read.
    pub fn next(&mut self) -> Result<&Dataset> {
        match self {
            Feed::Now(now) => {
                let (batches, batch) = &mut **now;
                batches.fill(batch)?;
                Ok(batch)
            }
            Feed::Ahead(ahead) => {
                if let Some(batch) = ahead.current.take() {
                    // If the thread has ended, the receive below fails.
                    let _ = ahead.used.send(batch);
                }
                let thread_ended = |_| Error::failure("the thread that reads the data ended");
                Ok(ahead.current.insert(ahead.filled.recv().map_err(thread_ended)??))
            }
        }
    }
}
