#include "sim/trace/trace_capture_stream.h"

#include <fmt/format.h>

#include "sim/core/error.h"

namespace collapsar {

namespace {

constexpr std::size_t kHeader = 8;       // type, bytes that follow
constexpr std::size_t kMostText = 4096;  // PATH_MAX, include/uapi/linux/limits.h

// Words of a message, without its text; 0: any number, and no text.
std::size_t words_of(RawType type) {
  switch (type) {
    case RawType::hello: return 6;
    case RawType::area: return 8;
    case RawType::start: return 2;
    case RawType::references: return 0;
    case RawType::call: return 12;
    case RawType::thread: return 3;
    case RawType::thread_exit: return 2;
    case RawType::fork: return 3;
    case RawType::exec: return 2;
    case RawType::exit: return 2;
  }
  return 0;
}

}  // namespace

void RawMessages::fail(const std::string& what) const {
  throw TraceError(fmt::format("{}: byte offset {}: {}", name_, offset_, what));
}

std::span<std::uint8_t> RawMessages::room() {
  if (at_ > 0) std::memmove(words_.data(), bytes() + at_, left());
  end_ = left(), at_ = 0;
  if (words_.size() * 8 < end_ + kRoom) words_.resize((end_ + kRoom + 7) / 8 + kRoom / 8);
  return std::span(reinterpret_cast<std::uint8_t*>(words_.data()), words_.size() * 8).subspan(end_);
}

std::optional<RawMessage> RawMessages::next() {
  if (left() < kHeader) return std::nullopt;
  std::uint32_t header[2];
  std::memcpy(header, bytes() + at_, sizeof header);
  const auto [type, size] = header;
  if (type < static_cast<std::uint32_t>(RawType::hello) || type > static_cast<std::uint32_t>(RawType::exit))
    fail(fmt::format("a message of type {}; 1 to 10 is right", type));
  if (size % 8 != 0 || size > kMostRawMessage)
    fail(fmt::format("a message of {} bytes; a multiple of 8, at most {}, is right", size, kMostRawMessage));
  if (left() < kHeader + size) return std::nullopt;
  const std::span<const std::uint64_t> words = std::span(words_).subspan((at_ + kHeader) / 8, size / 8);
  RawMessage message{static_cast<RawType>(type), words, {}};
  if (const std::size_t count = words_of(message.type)) {
    if (words.size() <= count)
      fail(fmt::format("{} words in a message of type {}; more are right", words.size(), type));
    const std::uint64_t length = words[count];
    if (length > kMostText || (length + 7) / 8 != words.size() - count - 1)
      fail(fmt::format("a text of {} bytes in {} words", length, words.size() - count - 1));
    message.text.assign(reinterpret_cast<const char*>(words.data() + count + 1), static_cast<std::size_t>(length));
    message.words = words.first(count);
  }
  at_ += kHeader + size, offset_ += kHeader + size;
  return message;
}

}  // namespace collapsar
