//! Bind groups, found by the numbers of their layout and buffers.

use std::collections::HashMap;

use smallvec::SmallVec;
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding,
};

use crate::gpu::Gpu;
use crate::pipelines::Pipeline;

/// One storage binding: a buffer from a byte on.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) buffer: &'a Buffer,
    pub(crate) id: u64,
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

/// Layout, uniform bytes, and number, start and size of each binding.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    layout: usize,
    uniform_bytes: u64,
    bindings: SmallVec<[(u64, u64, u64); 8]>,
}

/// The bind groups of a stream. They stay valid until one of its buffers is replaced.
#[derive(Default)]
pub(crate) struct BindGroups {
    by_key: HashMap<Key, usize>,
    groups: Vec<BindGroup>,
}

impl BindGroups {
    /// The number of a bind group, made if it is new.
    pub(crate) fn of(
        &mut self,
        gpu: &Gpu,
        pipeline: &Pipeline,
        uniforms: &Buffer,
        bindings: &[Bound<'_>],
    ) -> usize {
        let key = Key {
            layout: pipeline.layout_id,
            uniform_bytes: pipeline.uniform_bytes,
            bindings: bindings.iter().map(|bound| (bound.id, bound.start, bound.bytes)).collect(),
        };
        if let Some(found) = self.by_key.get(&key) {
            return *found;
        }
        let resource = |buffer, offset, bytes: u64| {
            let size = std::num::NonZero::new(bytes);
            BindingResource::Buffer(BufferBinding { buffer, offset, size })
        };
        let mut entries = vec![BindGroupEntry {
            binding: 0,
            resource: resource(uniforms, 0, pipeline.uniform_bytes),
        }];
        for (binding, bound) in (1u32..).zip(bindings) {
            let resource = resource(bound.buffer, bound.start, bound.bytes);
            entries.push(BindGroupEntry { binding, resource });
        }
        let group = gpu.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &pipeline.layout,
            entries: &entries,
        });
        let number = self.groups.len();
        self.groups.push(group);
        self.by_key.insert(key, number);
        number
    }

    /// The bind group of that number.
    pub(crate) fn get(&self, number: usize) -> Option<&BindGroup> {
        self.groups.get(number)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.groups.len()
    }

    /// True before the first one, and when all are forgotten.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Forgets all: a buffer was replaced.
    pub(crate) fn clear(&mut self) {
        self.by_key.clear();
        self.groups.clear();
    }
}
