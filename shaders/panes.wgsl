// Draws the panes of the viewer: pieces of pictures, the ground below
// transparent ones, the mask over them, and the split line with its handle.
//
// Every quad is one instance. Positions are physical pixels from the top left
// of the canvas; colours are multiplied by alpha.

struct Globals {
    // Width and height of the canvas in physical pixels.
    size: vec2<f32>,
    // 1 to show pixels as squares when enlarged, 0 to interpolate.
    sharp: f32,
    // 1 if the target converts from linear light by itself.
    linear_target: f32,
}

@group(0) @binding(0) var<uniform> globals: Globals;
@group(1) @binding(0) var picture: texture_2d<f32>;
@group(1) @binding(1) var smooth_sampler: sampler;

const PICTURE = 0u;
const GROUND = 1u;
const SOLID = 2u;
const DISC = 3u;
const MASK = 4u;
const MARKS = 5u;

struct Quad {
    // Left, top, right, bottom.
    @location(0) rect: vec4<f32>,
    // Texture coordinates of the same edges, in texels.
    @location(1) texels: vec4<f32>,
    // Nothing is drawn outside of it.
    @location(2) clip: vec4<f32>,
    @location(3) color: vec4<f32>,
    @location(4) kind: u32,
}

struct Fragment {
    @builtin(position) position: vec4<f32>,
    @location(0) at: vec2<f32>,
    @location(1) texel: vec2<f32>,
    @location(2) @interpolate(flat) rect: vec4<f32>,
    @location(3) @interpolate(flat) clip: vec4<f32>,
    @location(4) @interpolate(flat) color: vec4<f32>,
    @location(5) @interpolate(flat) kind: u32,
    // Texels for a pixel of the screen.
    @location(6) @interpolate(flat) step: vec2<f32>,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32, quad: Quad) -> Fragment {
    // Two triangles: 0 1 2, 3 2 1.
    let corner = select(index, 6u - index, index > 2u);
    let t = vec2<f32>(f32(corner & 1u), f32(corner >> 1u));
    let at = mix(quad.rect.xy, quad.rect.zw, t);
    let ndc = at / globals.size * vec2<f32>(2.0, -2.0) + vec2<f32>(-1.0, 1.0);
    return Fragment(
        vec4<f32>(ndc, 0.0, 1.0),
        at,
        mix(quad.texels.xy, quad.texels.zw, t),
        quad.rect,
        quad.clip,
        quad.color,
        quad.kind,
        (quad.texels.zw - quad.texels.xy) / max(quad.rect.zw - quad.rect.xy, vec2<f32>(1e-6)),
    );
}

// How much of a place in texels is marked; enlarged, its pixels are squares.
fn marked(texel: vec2<f32>, reach: vec2<f32>) -> f32 {
    let size = vec2<f32>(textureDimensions(picture));
    let place = select(texel, floor(texel) + 0.5, reach < vec2<f32>(0.5));
    return textureSampleLevel(picture, smooth_sampler, place / size, 0.0).a;
}

fn linear_from_gamma(color: vec3<f32>) -> vec3<f32> {
    let low = color / 12.92;
    let high = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, color <= vec3<f32>(0.04045));
}

@fragment
fn fragment(in: Fragment) -> @location(0) vec4<f32> {
    if any(in.at < in.clip.xy) || any(in.at >= in.clip.zw) {
        discard;
    }
    var color = in.color;
    switch in.kind {
        case PICTURE: {
            var texel = in.texel;
            if globals.sharp > 0.5 {
                texel = floor(texel) + 0.5;
            }
            let size = vec2<f32>(textureDimensions(picture));
            // In full, or as much as is wanted over what lies below.
            color = textureSampleLevel(picture, smooth_sampler, texel / size, 0.0) * in.color.a;
        }
        case GROUND: {
            // Squares of 12 pixels in two greys.
            let square = vec2<i32>(floor((in.at - in.rect.xy) / 12.0));
            if ((square.x + square.y) & 1) == 0 {
                color = vec4<f32>(color.rgb * 0.8, color.a);
            }
        }
        case DISC: {
            let centre = (in.rect.xy + in.rect.zw) * 0.5;
            let radius = (in.rect.z - in.rect.x) * 0.5;
            let inside = clamp(radius - distance(in.at, centre), 0.0, 1.0);
            color = color * inside;
        }
        case MASK: {
            // The outline is where the mask changes between neighbours on the screen.
            let across = vec2<f32>(in.step.x, 0.0);
            let down = vec2<f32>(0.0, in.step.y);
            let change = max(
                abs(marked(in.texel + across, in.step) - marked(in.texel - across, in.step)),
                abs(marked(in.texel + down, in.step) - marked(in.texel - down, in.step)),
            );
            let line = smoothstep(0.2, 0.6, change);
            color = mix(color * marked(in.texel, in.step), vec4<f32>(1.0), line * 0.9);
        }
        case MARKS: {
            color = color * marked(in.texel, in.step);
        }
        default: {}
    }
    if globals.linear_target > 0.5 {
        color = vec4<f32>(linear_from_gamma(color.rgb), color.a);
    }
    return color;
}
