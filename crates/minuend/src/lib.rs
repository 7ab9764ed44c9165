//! Compile and run Differential Transformer V2 models.
