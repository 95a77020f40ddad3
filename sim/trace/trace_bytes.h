// Trace bytes: little-endian numbers, varints and checks, shared by the readers and writers of this room.
//
// Models:      nothing. ByteWriter appends to a buffer; ByteReader walks one and never leaves it.
// Errors:      ByteReader throws Malformed with the offset in its buffer; the caller knows the file and makes a
//              TraceError.
// Source:      traces/README.md, "Numbers" and "Checks".
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/trace/trace.h"

namespace collapsar {

static_assert(std::endian::native == std::endian::little, "files are little-endian and are read in place");

// What is wrong with some bytes, and where in them.
struct Malformed {
  std::size_t offset = 0;
  std::string what;
};

class ByteWriter {
 public:
  std::vector<std::uint8_t> bytes;

  void u8(std::uint8_t v) { bytes.push_back(v); }
  void u32(std::uint32_t v) { raw(&v, sizeof v); }
  void u64(std::uint64_t v) { raw(&v, sizeof v); }
  // Seven bits a byte, least significant first; the top bit says that more follow.
  void varint(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) u8(static_cast<std::uint8_t>(v | 0x80));
    u8(static_cast<std::uint8_t>(v));
  }
  // Sign in the lowest bit, so that small negative numbers stay short.
  void zigzag(std::int64_t v) { varint((static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63)); }
  void text(std::string_view s) { varint(s.size()), raw(s.data(), s.size()); }
  void raw(const void* data, std::size_t size) {
    const auto* first = static_cast<const std::uint8_t*>(data);
    bytes.insert(bytes.end(), first, first + size);
  }
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  std::size_t offset() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }
  [[noreturn]] void fail(std::string what) const { throw Malformed{at_, std::move(what)}; }

  // The next `size` bytes, in place.
  const std::uint8_t* raw(std::size_t size) {
    if (size > left()) fail("the data ends too early");
    const std::uint8_t* p = bytes_.data() + at_;
    at_ += size;
    return p;
  }
  std::uint8_t u8() { return *raw(1); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint8_t b = u8();
      if (shift == 63 && b > 1) break;
      v |= static_cast<std::uint64_t>(b & 0x7f) << shift;
      if (b < 0x80) return v;
    }
    fail("a number is longer than 64 bits");
  }
  std::int64_t zigzag() {
    const std::uint64_t v = varint();
    return static_cast<std::int64_t>((v >> 1) ^ (0 - (v & 1)));
  }
  // A number of at most `most`: a count, before anything is allocated for it.
  std::uint64_t at_most(std::uint64_t most, const char* name) {
    const std::uint64_t v = varint();
    if (v > most)
      fail(std::string(name) + " is " + std::to_string(v) + ", at most " + std::to_string(most) + " is right");
    return v;
  }
  std::string text() {
    const std::size_t size = at_most(left(), "length of a text");
    return {reinterpret_cast<const char*>(raw(size)), size};
  }

 private:
  template <class T>
  T number() {
    T v;
    std::memcpy(&v, raw(sizeof v), sizeof v);
    return v;
  }
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

// FNV-1a, 64 bit (Fowler, Noll, Vo): checks the short headers.
inline std::uint64_t fnv1a(std::span<const std::uint8_t> bytes, std::uint64_t hash = 0xcbf29ce484222325ULL) {
  for (const std::uint8_t b : bytes) hash = (hash ^ b) * 0x100000001b3ULL;
  return hash;
}

// ContentHash: a number for what a trace says, whatever blocks and runs it is cut into. Stamps do not count.
class ContentHash {
 public:
  void add(std::span<const Record> records);
  // One record in two parts: its address, and what spread() makes of its second word.
  void add(std::uint64_t va, std::uint64_t spread_shape) {
    const std::uint64_t lane = std::rotl(lanes_[0] ^ va ^ spread_shape, 29) * kMixLane;
    lanes_ = {lanes_[1], lanes_[2], lanes_[3], lane};
    ++records_;
  }
  static std::uint64_t spread(std::uint64_t shape) { return shape * kMixShape; }
  void add(const TraceEvent& event);                                           // with its index
  void add_thread(std::uint64_t index, std::uint32_t pid, std::uint32_t tid);  // from reference `index` on
  std::uint64_t value() const;
  std::string text() const;  // 16 hexadecimal digits

 private:
  // Odd constants with well-mixed bits: 2^64 over the golden ratio, and the second prime of xxHash (Yann Collet).
  static constexpr std::uint64_t kMixShape = 0x9E3779B97F4A7C15ULL, kMixLane = 0xC2B2AE3D27D4EB4FULL;

  // Four lanes, so that the multiplications of neighbours overlap. They turn: the first is that of the next record.
  std::array<std::uint64_t, 4> lanes_ = {1, 2, 3, 4};
  std::uint64_t records_ = 0;
  std::uint64_t others_ = 0xcbf29ce484222325ULL;  // events and thread changes: FNV-1a of their encoding
};

}  // namespace collapsar
