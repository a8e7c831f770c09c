//! The parameters of a module by their paths.

use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, backend::AutodiffBackend};
use plugfit::component::Parameter;

/// A parameter with its flat value and gradient, of shape `[1, count]`.
pub(super) struct Found<B: AutodiffBackend> {
    pub parameter: Parameter,
    pub value: Tensor<B::InnerBackend, 2>,
    pub gradient: Option<Tensor<B::InnerBackend, 2>>,
}

/// Returns the parameters of floating-point numbers, in the order of the module.
pub(super) fn parameters<M, B>(module: &M, gradients: &mut GradientsParams) -> Vec<Found<B>>
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
{
    let mut visitor = Visitor { path: Vec::new(), gradients, found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

struct Visitor<'g, B: AutodiffBackend> {
    path: Vec<String>,
    gradients: &'g mut GradientsParams,
    found: Vec<Found<B>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Visitor<'_, B> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let flat = |tensor: Tensor<B::InnerBackend, D>| {
            let count = tensor.shape().num_elements();
            tensor.reshape([1, count])
        };
        let name = self.path.last().cloned().unwrap_or_default();
        let trainable = tensor.is_require_grad();
        self.found.push(Found {
            parameter: Parameter { name, path: self.path.join("/"), shape, trainable },
            gradient: self.gradients.remove::<B::InnerBackend, D>(param.id).filter(|_| trainable).map(flat),
            value: flat(tensor.inner()),
        });
    }
}

/// Replaces the parameters of a module, in its order, by flat values. `None` leaves a parameter unchanged.
pub(super) fn replaced<M, B>(module: M, values: Vec<Option<Tensor<B::InnerBackend, 2>>>) -> M
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
{
    Module::map(module, &mut Mapper::<B> { values: values.into_iter() })
}

struct Mapper<B: AutodiffBackend> {
    values: std::vec::IntoIter<Option<Tensor<B::InnerBackend, 2>>>,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Mapper<B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let tensor = match self.values.next().flatten() {
            None => tensor,
            Some(value) => {
                let new = Tensor::from_inner(value.reshape(tensor.dims()));
                if tensor.is_require_grad() { new.require_grad() } else { new }
            }
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}
