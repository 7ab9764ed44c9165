//! Construction of tensors and their stored bytes.

use minuend_interp::{Data, Tensor, TensorError};
use minuend_ir::DType;

#[test]
fn stored_bytes_are_little_endian() {
    let f32s: Vec<u8> = [1.5f32, -0.1].iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensor = Tensor::from_bytes(DType::F32, &[2], &f32s).unwrap();
    assert_eq!(tensor.reals().unwrap(), [1.5, f64::from(-0.1f32)]);
    // 1.5 and -2 as binary16; 1.5 and the smallest subnormal.
    let tensor = Tensor::from_bytes(DType::F16, &[3], &[0x00, 0x3e, 0x00, 0xc0, 1, 0]).unwrap();
    assert_eq!(tensor.reals().unwrap(), [1.5, -2.0, 2f64.powi(-24)]);
    let tensor = Tensor::from_bytes(DType::Bf16, &[1, 2], &[0xc0, 0x3f, 0x80, 0xff]).unwrap();
    assert_eq!(tensor.reals().unwrap(), [1.5, f64::NEG_INFINITY]);
    let tensor = Tensor::from_bytes(DType::I64, &[], &(-2i64).to_le_bytes()).unwrap();
    assert_eq!(tensor.ints().unwrap(), [-2]);
    let tensor = Tensor::from_bytes(DType::I32, &[1], &(-3i32).to_le_bytes()).unwrap();
    assert_eq!(tensor.ints().unwrap(), [-3]);
    let tensor = Tensor::from_bytes(DType::Bool, &[2], &[1, 0]).unwrap();
    assert_eq!(tensor.bools().unwrap(), [true, false]);
    assert!(Tensor::from_bytes(DType::F32, &[0, 3], &[]).unwrap().is_empty());
}

#[test]
fn stored_bytes_that_do_not_fit_are_refused() {
    let message = |dtype, shape: &[usize], bytes: &[u8]| {
        Tensor::from_bytes(dtype, shape, bytes).unwrap_err().to_string()
    };
    assert_eq!(message(DType::F32, &[2], &[0; 7]), "tensor f32[2] has 7 bytes, expected 8");
    let expected = "value 1 is 2, which is no value of type bool";
    assert_eq!(message(DType::Bool, &[2], &[1, 2]), expected);
    let expected = "tensor f16[4294967296, 4294967296] is too large, \
                    at most 1073741824 elements are supported";
    assert_eq!(message(DType::F16, &[1 << 32, 1 << 32], &[]), expected);
    assert!(message(DType::F16, &[0, usize::MAX], &[]).contains("is too large"));
}

#[test]
fn values_must_fit_the_type() {
    let error = Tensor::from_reals(DType::F32, &[2, 2], vec![0.0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "tensor f32[2, 2] has 3 values, expected 4");
    let error = Tensor::from_reals(DType::I64, &[1], vec![0.0]).unwrap_err();
    assert_eq!(error, TensorError::Kind { dtype: DType::I64, held: "reals" });
    let error = Tensor::from_ints(DType::I32, &[2], vec![0, 1 << 31]).unwrap_err();
    assert_eq!(error, TensorError::Value { dtype: DType::I32, index: 1, found: 1 << 31 });
    let error = Tensor::new(DType::Bool, &[1], Data::Ints(vec![1])).unwrap_err();
    assert_eq!(error.to_string(), "values are integers, expected values of type bool");
}

#[test]
fn accessors_answer_for_their_kind_alone() {
    let tensor = Tensor::from_bools(&[1, 2], vec![true, false]).unwrap();
    assert_eq!((tensor.dtype(), tensor.shape(), tensor.len()), (DType::Bool, &[1, 2][..], 2));
    assert_eq!((tensor.reals(), tensor.ints()), (None, None));
    assert_eq!(tensor.bools(), Some(&[true, false][..]));
    assert_eq!(tensor.data(), &Data::Bools(vec![true, false]));
}
