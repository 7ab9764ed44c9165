//! Compiled pipelines on disk, where the adapter can store them.

use std::fs;
use std::path::{Path, PathBuf};

use wgpu::{Adapter, Features, PipelineCacheDescriptor};

use crate::gpu::Gpu;

/// The driver's cache of compiled pipelines, read from a file and written back to it.
pub(crate) struct PipelineCache {
    stored: Option<(wgpu::PipelineCache, PathBuf)>,
}

impl PipelineCache {
    /// The cache in a directory; none without a directory, or if the adapter stores no pipelines.
    pub(crate) fn open(gpu: &Gpu, adapter: &Adapter, directory: Option<&Path>) -> PipelineCache {
        let key = wgpu::util::pipeline_cache_key(&adapter.get_info());
        let is_supported = gpu.has(Features::PIPELINE_CACHE);
        let (Some(directory), Some(key), true) = (directory, key, is_supported) else {
            return PipelineCache { stored: None };
        };
        let file = directory.join(key);
        let data = fs::read(&file).ok();
        let descriptor =
            PipelineCacheDescriptor { label: None, data: data.as_deref(), fallback: true };
        // SAFETY: the file holds what an earlier `get_data` gave: it lies in the user's own cache
        // directory under the adapter's key, is replaced as a whole by renaming, and driver and wgpu
        // compare its header with the adapter and the driver's version before they use it.
        let cache = gpu.caught(|| unsafe { gpu.device.create_pipeline_cache(&descriptor) });
        PipelineCache { stored: cache.ok().map(|cache| (cache, file)) }
    }

    pub(crate) fn handle(&self) -> Option<&wgpu::PipelineCache> {
        self.stored.as_ref().map(|(cache, _)| cache)
    }

    /// Writes the file. A cache that cannot be written only costs time on the next start.
    pub(crate) fn store(&self) {
        let Some((cache, file)) = &self.stored else { return };
        let Some(data) = cache.get_data() else { return };
        let temporary = file.with_extension(format!("{}", std::process::id()));
        let written = file
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&temporary, &data))
            .and_then(|()| fs::rename(&temporary, file));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }
}
