#include "sim/trace/trace_capture_words.h"

#include <algorithm>

namespace collapsar {

namespace {

constexpr std::uint64_t kRawAddress = (1ULL << 48) - 1;
constexpr std::uint64_t kCacheLine = 64;                 // bytes of a cache line on every x86-64 processor
constexpr std::uint64_t kMostKernelAccess = 1ULL << 31;  // MAX_RW_COUNT, include/linux/fs.h

std::uint64_t va_of(std::uint64_t word) { return word & kRawAddress; }
RefKind raw_kind_of(std::uint64_t word) { return static_cast<RefKind>(word >> 48 & 7); }
std::uint16_t size_of(std::uint64_t word) { return static_cast<std::uint16_t>((word >> 51 & 31) + 1); }
bool is_repeat(std::uint64_t word) { return word >> 56 & 1; }
std::uint32_t gap_of(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 57); }
std::uint64_t line_of(std::uint64_t va) { return va / kCacheLine; }

}  // namespace

void RawReferences::begin(std::uint32_t tid, std::span<const std::uint64_t> words) {
  thread_ = &threads_[tid];
  words_ = words, at_ = 0;
  repeat_ = {};
}

bool RawReferences::is_wanted(std::uint64_t va, std::uint64_t size) {
  const std::uint64_t first = va >> kPageShift, last = (va + size - 1) >> kPageShift;
  const bool is_new = first != thread_->code_page || last != thread_->code_page;
  thread_->code_page = last;
  switch (fetches_) {
    case CaptureFetches::none: return false;
    case CaptureFetches::page: return is_new;
    case CaptureFetches::block:
    case CaptureFetches::insn: return true;
  }
  return false;
}

// Counts its instructions; true if it shall be a reference. Later rounds of a string instruction are neither.
bool RawReferences::take_fetch(std::uint64_t word) {
  if (is_repeat(word) && repeat_.is_on) return false;
  repeat_.is_on = false;
  thread_->instructions += gap_of(word);
  return is_wanted(va_of(word), size_of(word));
}

void RawReferences::put(Record* out, std::uint64_t word) {
  const std::uint64_t instructions = std::min<std::uint64_t>(thread_->instructions, UINT32_MAX);
  out[count_++] = {va_of(word), static_cast<std::uint32_t>(instructions), size_of(word), raw_kind_of(word), 0};
  thread_->instructions = 0;
}

// An element beside the one before, in the same line, makes that reference longer.
bool RawReferences::extend(Record* out, std::uint64_t word) {
  if (!repeat_.is_on) {
    thread_->instructions += gap_of(word);
    repeat_ = {.is_on = true};
  }
  std::size_t& last = repeat_.last[raw_kind_of(word) != RefKind::load];
  const std::uint64_t va = va_of(word), size = size_of(word);
  if (last != kNone && line_of(out[last].va) == line_of(va) && line_of(va) == line_of(va + size - 1)) {
    Record& r = out[last];
    const bool is_above = va == r.va + r.size, is_below = va + size == r.va;
    if (is_above || is_below) {
      r.size = static_cast<std::uint16_t>(r.size + size);
      if (is_below) r.va = va;
      return true;
    }
  }
  last = count_;
  return false;
}

void RawReferences::put_kernel_page(Record* out) {
  const std::uint64_t size = std::min(kernel_left_, kPageBytes - kernel_va_ % kPageBytes);
  out[count_++] = {kernel_va_, 0, static_cast<std::uint16_t>(size), kernel_kind_, 0};
  kernel_va_ += size, kernel_left_ -= size;
}

// The word behind a kernel access is its size.
void RawReferences::begin_kernel_access(std::uint64_t word) {
  repeat_.is_on = false;
  if (at_ == words_.size() || words_[at_] > kMostKernelAccess || va_of(word) + words_[at_] > kRawAddress) ++invalid_;
  else kernel_kind_ = raw_kind_of(word), kernel_va_ = va_of(word), kernel_left_ = words_[at_];
  at_ += at_ < words_.size();
}

void RawReferences::take(Record* out, std::uint64_t word) {
  switch (raw_kind_of(word)) {
    case RefKind::fetch:
      if (take_fetch(word)) put(out, word);
      return;
    case RefKind::load:
    case RefKind::store:
    case RefKind::modify:
      if (is_repeat(word)) {
        if (!extend(out, word)) put(out, word);
        return;
      }
      repeat_.is_on = false;
      thread_->instructions += gap_of(word);
      put(out, word);
      return;
    case RefKind::kernel_read:
    case RefKind::kernel_write: begin_kernel_access(word); return;
  }
  ++invalid_;  // an address beyond user memory has set all bits
}

// Flattened: five calls per word would take longer than what they do.
[[gnu::flatten]] std::size_t RawReferences::read(Record* out) {
  count_ = 0;
  repeat_.last[0] = repeat_.last[1] = kNone;
  while (count_ < kMaxRun) {
    if (kernel_left_ > 0) put_kernel_page(out);
    else if (at_ < words_.size()) take(out, words_[at_++]);
    else break;
  }
  return count_;
}

}  // namespace collapsar
