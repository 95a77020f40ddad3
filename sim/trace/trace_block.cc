// A block, read and checked; what writes one is trace_block_write.cc.
#include "sim/trace/trace_block.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/trace/trace_block_shapes.h"
#include "sim/trace/trace_planes_simd.h"

namespace collapsar {

namespace {

// A shape is the second word of a Record: everything but the address.
Record record_of(std::uint64_t va, std::uint64_t shape) {
  const std::uint64_t words[2] = {va, shape};
  Record r;
  std::memcpy(&r, words, sizeof r);
  return r;
}
bool is_shape(std::uint64_t shape) {
  const Record r = record_of(0, shape);
  return r.kind <= RefKind::kernel_write && r.size > 0 && r.flags <= Record::kDependsOnLoad;
}

Planes read_planes(ByteReader& in, std::size_t n) {
  Planes planes;
  const std::uint8_t varies = in.u8();
  for (unsigned p = 0; p < 8; ++p) {
    planes.step[p] = varies >> p & 1;
    planes.at[p] = in.raw(planes.step[p] ? n : 1);
  }
  return planes;
}

struct Escape {
  std::uint32_t position = 0;
  std::uint64_t shape = 0;
};

// How the second words of a block are had.
struct Shapes {
  std::uint8_t mode = kShapeOne;
  std::array<std::uint64_t, 256> of_code{};
  const std::uint8_t* codes = nullptr;
  std::vector<Escape> escapes;  // positions ascend
  Planes planes;
};

void read_escapes(ByteReader& in, std::uint32_t n, Shapes& shapes) {
  std::uint64_t position = 0;
  const std::uint64_t count = in.at_most(n, "number of escaped shapes");
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t step = in.at_most(n, "distance of escaped shapes");
    position += step;
    if ((i > 0 && step == 0) || position >= n || shapes.codes[position] != kEscape)
      in.fail("a shape is escaped twice or without its code");
    const std::uint64_t shape = in.u64();
    if (!is_shape(shape)) in.fail("a reference has an unknown kind or flag, or size 0");
    shapes.escapes.push_back({static_cast<std::uint32_t>(position), shape});
  }
}

void read_codes(ByteReader& in, std::uint32_t n, Shapes& shapes) {
  const std::size_t known = in.u8();
  for (std::size_t i = 0; i < known; ++i) {
    shapes.of_code[i] = in.u64();
    if (!is_shape(shapes.of_code[i])) in.fail("a reference has an unknown kind or flag, or size 0");
  }
  shapes.codes = in.raw(n);
  const CodeCensus census = take_census(shapes.codes, n);
  if (census.largest >= known && census.escapes < n) in.fail("a reference has the code of no shape");
  read_escapes(in, n, shapes);
  if (shapes.escapes.size() != census.escapes) in.fail("the escaped shapes are not as many as their codes");
}

Shapes read_shapes(ByteReader& in, std::uint32_t n) {
  Shapes shapes;
  shapes.mode = in.u8();
  if (shapes.mode == kShapeOne) {
    static constexpr std::array<std::uint8_t, kBlockReferences> kAllFirst{};
    shapes.codes = kAllFirst.data();
    shapes.of_code[0] = in.u64();
    if (!is_shape(shapes.of_code[0])) in.fail("a reference has an unknown kind or flag, or size 0");
  } else if (shapes.mode == kShapeCodes) {
    read_codes(in, n, shapes);
  } else if (shapes.mode == kShapePlanes) {
    shapes.planes = read_planes(in, n);
  } else {
    in.fail(fmt::format("shape mode {} is unknown; 0, 1 or 2 is right", shapes.mode));
  }
  return shapes;
}

// Writes out the shapes of some references, and adds those to the hash. Returns that; what is given stays in registers.
ContentHash put_escapes(std::span<const Escape> escapes, Record* records, std::size_t first, std::size_t count,
                        ContentHash hash) {
  for (const Escape& e : escapes) records[e.position] = record_of(records[e.position].va, e.shape);
  hash.add({records + first, count});
  return hash;
}

std::uint64_t join_by_codes(const Planes& addresses, const Shapes& shapes, std::size_t n, Record* out,
                            ContentHash& hash_of_all) {
  ContentHash hash = hash_of_all;
  std::array<std::uint64_t, 256> spread;
  std::transform(shapes.of_code.begin(), shapes.of_code.end(), spread.begin(), ContentHash::spread);
  const Escape *escape = shapes.escapes.data(), *const end = escape + shapes.escapes.size();
  std::size_t next_escape = escape != end ? escape->position : n;
  const std::uint64_t reach = join_records(
      addresses, shapes.codes, shapes.of_code.data(), n,
      out, [&](std::size_t i, std::size_t count) __attribute__((always_inline)) {
        if (i + count > next_escape) [[unlikely]] {
          const Escape* const first = escape;
          while (escape != end && escape->position < i + count) ++escape;
          next_escape = escape != end ? escape->position : n;
          hash = put_escapes({first, escape}, out, i, count, hash);
          return;
        }
#pragma GCC unroll 16
        for (std::size_t k = i; k < i + count; ++k) hash.add(out[k].va, spread[shapes.codes[k]]);
      });
  hash_of_all = hash;
  return reach;
}

std::uint64_t join_by_planes(ByteReader& in, Planes addresses, Planes shapes, std::size_t n, Record* out,
                             ContentHash& hash) {
  constexpr std::size_t kChunk = 1024;  // references that are taken apart in the L1 cache
  std::array<std::uint64_t, kChunk> va, shape;
  Reach reach;
  for (std::size_t from = 0; from < n; from += kChunk) {
    const std::size_t count = std::min(kChunk, n - from);
    join_planes(addresses, count, va.data());
    join_planes(shapes, count, shape.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_shape(shape[i])) in.fail("a reference has an unknown kind or flag, or size 0");
      out[from + i] = record_of(va[i], shape[i]);
      reach.add(va[i]);
    }
    hash.add({out + from, count});
    for (Planes* const planes : {&addresses, &shapes})
      for (unsigned p = 0; p < 8; ++p) planes->at[p] += planes->step[p] * count;
  }
  return reach.bits();
}

// Returns the reach of the references.
std::uint64_t read_records(ByteReader& in, std::uint32_t n, Record* records, ContentHash& hash) {
  const Planes addresses = read_planes(in, n);
  const Shapes shapes = read_shapes(in, n);
  if (shapes.mode == kShapePlanes) return join_by_planes(in, addresses, shapes.planes, n, records, hash);
  return join_by_codes(addresses, shapes, n, records, hash);
}

std::uint32_t read_position(ByteReader& in, std::uint32_t last, bool first, std::uint32_t n) {
  const std::uint64_t step = in.at_most(n, "distance of positions");
  if (first ? step != 0 : step == 0) in.fail("positions in a block must begin at 0 and ascend");
  if (last + step >= n) in.fail("a position is beyond the references of its block");
  return static_cast<std::uint32_t>(last + step);
}

void read_threads(ByteReader& in, BlockFrame& frame) {
  const std::uint64_t count = in.at_most(frame.references, "number of thread changes");
  if (count == 0 && frame.references > 0) in.fail("references without a thread");
  frame.threads.reserve(count);
  for (std::uint32_t at = 0; frame.threads.size() < count;) {
    at = read_position(in, at, frame.threads.empty(), frame.references);
    const auto pid = static_cast<std::uint32_t>(in.at_most(UINT32_MAX, "pid"));
    frame.threads.push_back({at, pid, static_cast<std::uint32_t>(in.at_most(UINT32_MAX, "tid"))});
  }
}

// Two's complement sums: a stamp may be anything, and no sum may be undefined.
std::int64_t plus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
void read_segments(ByteReader& in, BlockFrame& frame) {
  const std::uint64_t count = in.at_most(frame.references, "number of stamp segments");
  frame.segments.reserve(count);
  std::int64_t last = 0;
  for (std::uint32_t at = 0; frame.segments.size() < count;) {
    at = read_position(in, at, frame.segments.empty(), frame.references);
    const std::int64_t begin = plus(last, in.zigzag());
    last = plus(begin, in.zigzag());
    frame.segments.push_back({at, begin, last});
  }
}

void read_events(ByteReader& in, std::uint64_t first_reference, BlockFrame& frame) {
  const std::uint64_t count = in.at_most(in.left(), "number of events");  // an event is never shorter than a byte
  std::uint32_t position = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    position += static_cast<std::uint32_t>(in.at_most(frame.references - position, "distance of events"));
    frame.events.push_back({position, decode_event(in)});
    frame.events.back().event.index = first_reference + position;
  }
}

}  // namespace

BlockFrame decode_block(std::span<const std::uint8_t> bytes, std::uint64_t first_reference, Record* records,
                        ContentHash& hash) {
  ByteReader in(bytes);
  BlockFrame frame;
  frame.references = static_cast<std::uint32_t>(in.at_most(kBlockReferences, "number of references"));
  if (frame.references > 0) frame.reach = read_records(in, frame.references, records, hash);
  read_threads(in, frame);
  read_segments(in, frame);
  read_events(in, first_reference, frame);
  if (in.left() > 0) in.fail("a block has bytes behind its end");
  return frame;
}

}  // namespace collapsar
