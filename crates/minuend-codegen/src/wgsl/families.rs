//! Shader files by family: each module names its files and chooses among them.

pub(crate) mod attention;
pub(crate) mod copy;
pub(crate) mod elementwise;
pub(crate) mod gather;
pub(crate) mod indexing;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod reduce;
pub(crate) mod rope;
pub(crate) mod sample;
pub(crate) mod softmax;
mod unroll;

#[cfg(test)]
pub(crate) mod launches;
#[cfg(test)]
mod tests;
