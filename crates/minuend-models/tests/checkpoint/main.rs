//! Opening checkpoint directories: the fixtures, and directories made wrong on purpose.

#[cfg(test)]
mod expected;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod scratch;
#[cfg(test)]
mod sharded;
#[cfg(test)]
mod tensors;
#[cfg(test)]
mod tokenizer;
