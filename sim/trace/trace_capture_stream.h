// RawMessages: the bytes that the capture tool sends for one process image, as messages.
//
// Models:      nothing. Bytes come in pieces of any size; a message comes out when it is whole.
// Errors:      TraceError with the name of the stream and the byte offset: a stream may be cut off or garbled anywhere.
// Memory:      at most one message, kMostRawMessage bytes, and kRoom; as much as the messages need.
// Source:      traces/README.md, "The raw stream".
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/trace/trace_bytes.h"

namespace collapsar {

enum class RawType : std::uint32_t {
  hello = 1,
  area,
  start,
  references,
  call,
  thread,
  thread_exit,
  fork,
  exec,
  exit,
};

inline constexpr std::uint64_t kRawVersion = 1;
inline constexpr std::uint32_t kMostRawMessage = 1u << 20;  // the tool's buffer has 288 KiB

struct RawMessage {
  RawType type = RawType::hello;
  std::span<const std::uint64_t> words;  // valid until the next message is asked for, or bytes are put in
  std::string text;
};

class RawMessages {
 public:
  explicit RawMessages(std::string name) : name_(std::move(name)) {}
  // Where the next bytes go: at least kRoom of them. `added`: how many have been put there.
  std::span<std::uint8_t> room();
  void added(std::size_t bytes) { end_ += bytes; }
  std::optional<RawMessage> next();
  static constexpr std::size_t kRoom = 256 * 1024;
  [[noreturn]] void fail(const std::string& what) const;

 private:
  const std::uint8_t* bytes() const { return reinterpret_cast<const std::uint8_t*>(words_.data()); }
  std::size_t left() const { return end_ - at_; }
  std::string name_;
  std::vector<std::uint64_t> words_;  // bytes [at_, end_) are not read yet; messages are whole words
  std::size_t at_ = 0, end_ = 0;
  std::uint64_t offset_ = 0;  // of byte at_ in the stream
};

}  // namespace collapsar
