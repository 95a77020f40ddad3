// A block's references, written: addresses as byte planes, and their shapes in whichever of three ways is short.
#include <algorithm>

#include "sim/trace/trace_block.h"
#include "sim/trace/trace_block_shapes.h"

namespace collapsar {

namespace {

// The second word of a Record: everything but the address. Little-endian, in the order of the struct.
std::uint64_t shape_of(const Record& r) {
  std::uint64_t words[2];
  std::memcpy(words, &r, sizeof r);
  return words[1];
}

void encode_planes(const std::vector<std::uint64_t>& words, ByteWriter& out) {
  std::uint64_t differs = 0;
  for (const std::uint64_t w : words) differs |= w ^ words[0];
  std::uint8_t varies = 0;
  for (unsigned p = 0; p < 8; ++p) varies |= static_cast<std::uint8_t>(((differs >> (8 * p)) & 0xff ? 1 : 0) << p);
  out.u8(varies);
  for (unsigned p = 0; p < 8; ++p) {
    const std::size_t count = varies >> p & 1 ? words.size() : 1;
    const std::size_t from = out.bytes.size();
    out.bytes.resize(from + count);
    for (std::size_t i = 0; i < count; ++i) out.bytes[from + i] = static_cast<std::uint8_t>(words[i] >> (8 * p));
  }
}

// Distinct shapes, most frequent first; equals in order of appearance.
std::vector<std::uint64_t> common_shapes(std::span<const std::uint64_t> shapes) {
  struct Seen {
    std::uint64_t shape, count;
  };
  std::vector<Seen> seen;
  ShapeNumbers places;
  for (const std::uint64_t shape : shapes) {
    std::uint32_t place = places.of(shape);
    if (place == ShapeNumbers::kNone) {
      place = static_cast<std::uint32_t>(seen.size());
      places.set(shape, place);
      seen.push_back({shape, 0});
    }
    ++seen[place].count;
  }
  std::stable_sort(seen.begin(), seen.end(), [](const Seen& a, const Seen& b) { return a.count > b.count; });
  std::vector<std::uint64_t> common;
  for (const Seen& s : seen) common.push_back(s.shape);
  return common;
}

void encode_codes(std::span<const std::uint64_t> shapes, std::span<const std::uint64_t> common, ByteWriter& out) {
  ShapeNumbers code_of;
  for (std::size_t i = 0; i < common.size(); ++i) code_of.set(common[i], static_cast<std::uint32_t>(i));
  out.u8(kShapeCodes), out.u8(static_cast<std::uint8_t>(common.size()));
  for (const std::uint64_t shape : common) out.u64(shape);
  ByteWriter escapes;
  std::uint64_t last_position = 0, escaped = 0;
  const std::size_t codes = out.bytes.size();
  out.bytes.resize(codes + shapes.size());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const std::uint32_t code = code_of.of(shapes[i]);
    out.bytes[codes + i] = code == ShapeNumbers::kNone ? kEscape : static_cast<std::uint8_t>(code);
    if (code != ShapeNumbers::kNone) continue;
    escapes.varint(i - last_position), escapes.u64(shapes[i]);
    last_position = i, ++escaped;
  }
  out.varint(escaped), out.raw(escapes.bytes.data(), escapes.bytes.size());
}

void encode_shapes(const std::vector<std::uint64_t>& shapes, ByteWriter& out) {
  std::vector<std::uint64_t> common = common_shapes(shapes);
  if (common.size() == 1) {
    out.u8(kShapeOne), out.u64(common[0]);
    return;
  }
  // An escape costs 9 bytes and a byte of code; planes rarely need more than 4 bytes per reference.
  if (common.size() > kMaxShapes) {
    std::vector<std::uint64_t> kept(common.begin(), common.begin() + kMaxShapes), sorted = kept;
    std::sort(sorted.begin(), sorted.end());
    const auto escapes = std::count_if(shapes.begin(), shapes.end(), [&](std::uint64_t s) {
      return !std::binary_search(sorted.begin(), sorted.end(), s);
    });
    if (static_cast<std::size_t>(escapes) > shapes.size() / 4) {
      out.u8(kShapePlanes);
      encode_planes(shapes, out);
      return;
    }
    common = kept;
  }
  encode_codes(shapes, common, out);
}

// Two's complement: a stamp may be anything, and no difference may be undefined.
std::int64_t minus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

}  // namespace

void encode_block(const BlockFrame& frame, std::span<const Record> records, ByteWriter& out) {
  out.varint(frame.references);
  if (frame.references > 0) {
    std::vector<std::uint64_t> words(records.size());
    std::transform(records.begin(), records.end(), words.begin(), [](const Record& r) { return r.va; });
    encode_planes(words, out);
    std::transform(records.begin(), records.end(), words.begin(), shape_of);
    encode_shapes(words, out);
  }
  out.varint(frame.threads.size());
  std::uint32_t at = 0;
  for (const ThreadStart& t : frame.threads)
    out.varint(t.position - at), out.varint(t.pid), out.varint(t.tid), at = t.position;
  out.varint(frame.segments.size());
  std::int64_t last = 0;
  at = 0;
  for (const StampSegment& s : frame.segments) {
    out.varint(s.position - at), out.zigzag(minus(s.begin_ns, last)), out.zigzag(minus(s.end_ns, s.begin_ns));
    at = s.position, last = s.end_ns;
  }
  out.varint(frame.events.size());
  at = 0;
  for (const BlockEvent& e : frame.events) out.varint(e.position - at), encode_event(e.event, out), at = e.position;
}

}  // namespace collapsar
