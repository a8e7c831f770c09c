//! The results of a component as bits, to compare them exactly.

use super::{
    loss, metric, optimizer, schedule,
    tested::{Extent, Tested},
};
use crate::Result;
use plugfit_abi as abi;
use serde_json::Value;

impl Tested<'_> {
    /// Creates an instance, calls it, and returns the bits of all results.
    pub fn bits(&self, config: &Value) -> Result<Vec<u64>> {
        self.with_bits(config, |bits| bits())
    }

    /// Creates an instance, and passes `f` a function that calls it and returns the bits of all results.
    pub fn with_bits<R>(
        &self,
        config: &Value,
        f: impl FnOnce(&(dyn Fn() -> Result<Vec<u64>> + Sync)) -> Result<R>,
    ) -> Result<R> {
        self.with_bits_of(config, Extent::Plain, f)
    }

    /// Returns the bits of all kinds of calls: with weights, with more columns than a register has lanes, and of every
    /// function of the table.
    pub fn thorough_bits(&self, config: &Value) -> Result<Vec<u64>> {
        self.with_bits_of(config, Extent::Thorough, |bits| bits())
    }

    fn with_bits_of<R>(
        &self,
        config: &Value,
        extent: Extent,
        f: impl FnOnce(&(dyn Fn() -> Result<Vec<u64>> + Sync)) -> Result<R>,
    ) -> Result<R> {
        match self.kind() {
            "loss" => {
                let instance = self.instance::<abi::LossV1>(config)?;
                f(&|| loss::bits(self, config, &instance, extent))
            }
            "metric" => {
                let instance = self.instance::<abi::MetricV1>(config)?;
                f(&|| metric::bits(self, config, &instance, extent))
            }
            "optimizer" => {
                let instance = self.instance::<abi::OptimizerV1>(config)?;
                f(&|| optimizer::bits(&instance, self.subject.seed, extent))
            }
            _ => {
                let instance = self.instance::<abi::ScheduleV1>(config)?;
                f(&|| schedule::bits(&instance))
            }
        }
    }
}
