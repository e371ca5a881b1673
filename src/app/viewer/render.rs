//! The viewer's part of the GPU: textures for pieces of pictures, and one
//! paint callback that draws all quads of the canvas with `shaders/panes.wgsl`.

use eframe::egui_wgpu::{CallbackResources, CallbackTrait, RenderState};
use image::RgbaImage;
use wgpu::util::DeviceExt as _;

/// What a quad shows; the numbers are those of the shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A piece of a picture.
    Picture = 0,
    /// The chequered ground of transparent pictures.
    Ground = 1,
    /// One colour.
    Solid = 2,
    /// A disc of one colour.
    Disc = 3,
    /// A piece of a mask in one colour, with its outline.
    Mask = 4,
    /// The same without its outline.
    Marks = 5,
}

/// An instance for the shader. Positions are physical pixels from the top left
/// of the canvas.
#[derive(Clone, Copy, Debug)]
pub struct Quad {
    /// Left, top, right, bottom.
    pub rect: [f32; 4],
    /// The same edges in texels of the texture.
    pub texels: [f32; 4],
    /// Nothing is drawn outside of it.
    pub clip: [f32; 4],
    /// Multiplied by alpha.
    pub color: [f32; 4],
    /// What it shows.
    pub kind: Kind,
}

impl Quad {
    const ATTRIBUTES: [wgpu::VertexAttribute; 5] = wgpu::vertex_attr_array![
        0 => Float32x4, 1 => Float32x4, 2 => Float32x4, 3 => Float32x4, 4 => Uint32
    ];
    const BYTES: u64 = 4 * 4 * 4 + 4;

    fn bytes(&self) -> impl Iterator<Item = u8> {
        let floats = [self.rect, self.texels, self.clip, self.color].concat();
        let kind = (self.kind as u32).to_ne_bytes();
        floats.into_iter().flat_map(f32::to_ne_bytes).chain(kind)
    }
}

/// A piece of a picture on the GPU.
#[derive(Clone, Debug)]
pub struct Texture(wgpu::BindGroup);

/// Pipeline and sampler, made once for a window.
#[derive(Debug)]
pub struct Renderer {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::RenderPipeline,
    globals_layout: wgpu::BindGroupLayout,
    texture_layout: wgpu::BindGroupLayout,
    sampler: wgpu::Sampler,
    /// For quads that show no picture.
    blank: Texture,
    linear_target: bool,
}

impl Renderer {
    /// On the window's own device.
    #[must_use]
    pub fn new(state: &RenderState) -> Self {
        let device = &state.device;
        let shader =
            device.create_shader_module(wgpu::include_wgsl!("../../../shaders/panes.wgsl"));
        let globals_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("panes: globals"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Uniform,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            }],
        });
        let texture_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("panes: texture"),
            entries: &[
                wgpu::BindGroupLayoutEntry {
                    binding: 0,
                    visibility: wgpu::ShaderStages::FRAGMENT,
                    ty: wgpu::BindingType::Texture {
                        sample_type: wgpu::TextureSampleType::Float { filterable: true },
                        view_dimension: wgpu::TextureViewDimension::D2,
                        multisampled: false,
                    },
                    count: None,
                },
                wgpu::BindGroupLayoutEntry {
                    binding: 1,
                    visibility: wgpu::ShaderStages::FRAGMENT,
                    ty: wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering),
                    count: None,
                },
            ],
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("panes"),
            bind_group_layouts: &[Some(&globals_layout), Some(&texture_layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("panes"),
            layout: Some(&layout),
            vertex: wgpu::VertexState {
                module: &shader,
                entry_point: Some("vertex"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[Some(wgpu::VertexBufferLayout {
                    array_stride: Quad::BYTES,
                    step_mode: wgpu::VertexStepMode::Instance,
                    attributes: &Quad::ATTRIBUTES,
                })],
            },
            fragment: Some(wgpu::FragmentState {
                module: &shader,
                entry_point: Some("fragment"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(wgpu::ColorTargetState {
                    format: state.target_format,
                    blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                    write_mask: wgpu::ColorWrites::ALL,
                })],
            }),
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            multiview_mask: None,
            cache: None,
        });
        let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
            label: Some("panes"),
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            ..wgpu::SamplerDescriptor::default()
        });
        let blank = upload(device, &state.queue, &texture_layout, &sampler, &RgbaImage::new(1, 1));
        Self {
            device: device.clone(),
            queue: state.queue.clone(),
            pipeline,
            globals_layout,
            texture_layout,
            sampler,
            blank,
            linear_target: state.target_format.is_srgb(),
        }
    }

    /// Puts a piece of a picture on the GPU.
    #[must_use]
    pub fn upload(&self, pixels: &RgbaImage) -> Texture {
        upload(&self.device, &self.queue, &self.texture_layout, &self.sampler, pixels)
    }

    /// A callback that draws the quads in their order.
    #[must_use]
    pub fn paint(
        &self,
        size_px: [f32; 2],
        sharp: bool,
        quads: Vec<(Quad, Option<Texture>)>,
    ) -> impl CallbackTrait + 'static {
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        let globals = [size_px[0], size_px[1], flag(sharp), flag(self.linear_target)];
        let buffer = |label, contents: Vec<u8>, usage| {
            self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some(label),
                contents: &contents,
                usage,
            })
        };
        let globals = buffer(
            "panes: globals",
            globals.into_iter().flat_map(f32::to_ne_bytes).collect(),
            wgpu::BufferUsages::UNIFORM,
        );
        let instances = buffer(
            "panes: quads",
            quads.iter().flat_map(|(quad, _)| quad.bytes()).collect(),
            wgpu::BufferUsages::VERTEX,
        );
        Paint {
            pipeline: self.pipeline.clone(),
            globals: self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("panes: globals"),
                layout: &self.globals_layout,
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: globals.as_entire_binding(),
                }],
            }),
            instances,
            textures: quads
                .into_iter()
                .map(|(_, texture)| texture.unwrap_or_else(|| self.blank.clone()))
                .collect(),
        }
    }
}

fn upload(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    layout: &wgpu::BindGroupLayout,
    sampler: &wgpu::Sampler,
    pixels: &RgbaImage,
) -> Texture {
    let texture = device.create_texture_with_data(
        queue,
        &wgpu::TextureDescriptor {
            label: Some("panes: piece"),
            size: wgpu::Extent3d {
                width: pixels.width(),
                height: pixels.height(),
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        },
        wgpu::util::TextureDataOrder::default(),
        pixels,
    );
    let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
    Texture(device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("panes: piece"),
        layout,
        entries: &[
            wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::TextureView(&view),
            },
            wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Sampler(sampler) },
        ],
    }))
}

struct Paint {
    pipeline: wgpu::RenderPipeline,
    globals: wgpu::BindGroup,
    instances: wgpu::Buffer,
    textures: Vec<Texture>,
}

impl CallbackTrait for Paint {
    fn paint(
        &self,
        _info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        _resources: &CallbackResources,
    ) {
        if self.textures.is_empty() {
            return;
        }
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.globals, &[]);
        pass.set_vertex_buffer(0, self.instances.slice(..));
        for (index, texture) in (0..).zip(&self.textures) {
            pass.set_bind_group(1, &texture.0, &[]);
            pass.draw(0..6, index..index + 1);
        }
    }
}
