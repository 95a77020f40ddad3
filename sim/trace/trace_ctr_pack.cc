#include "sim/trace/trace_ctr_pack.h"

#include <signal.h>

#include <algorithm>

#include "sim/core/error.h"
#include "sim/trace/trace_input.h"

namespace collapsar {

namespace {

constexpr int kFooterLevel = 6;

}  // namespace

BlockPacker::BlockPacker(const std::string& file, CtrPacking packing) : file_(file), packing_(packing) {
  file_.write(encode_ctr_header());
  // Signals are for the threads that wait for them: `collapsar capture` ends with its program, not before.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

BlockPacker::~BlockPacker() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BlockPacker::rethrow() {
  if (error_) std::rethrow_exception(error_);
}

UnpackedBlock BlockPacker::put(UnpackedBlock block) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !waiting_ || error_; });
  rethrow();
  waiting_ = std::move(block);
  UnpackedBlock empty = spare_ ? std::move(*spare_) : UnpackedBlock{};
  spare_.reset();
  lock.unlock();
  changed_.notify_all();
  empty.frame = {};
  empty.records.clear();
  empty.records.reserve(kBlockReferences);
  return empty;
}

void BlockPacker::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return waiting_ || is_over_; });
    if (!waiting_ || error_) return;
    UnpackedBlock block = std::move(*waiting_);
    waiting_.reset();
    is_packing_ = true;
    lock.unlock();
    changed_.notify_all();
    std::exception_ptr error;
    try {
      pack(block);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    is_packing_ = false, spare_ = std::move(block), error_ = error;
    changed_.notify_all();
  }
}

void BlockPacker::pack(const UnpackedBlock& block) {
  const BlockFrame& frame = block.frame;
  CtrIndexEntry entry;
  if (!frame.segments.empty()) entry.first_stamp_ns = frame.segments.front().begin_ns;
  if (!frame.events.empty() && frame.events.front().position == 0)
    entry.first_stamp_ns = frame.events.front().event.stamp_ns;
  ByteWriter payload;
  encode_block(frame, block.records, payload);
  SIM_ASSERT(payload.bytes.size() <= kBlockBytes, "a block of {} bytes", payload.bytes.size());
  entry.is_chained = packing_.is_chained && index_.size() % kCtrChain != 0;
  const std::vector<std::uint8_t> packed =
      compress(payload.bytes, packing_.level,
               entry.is_chained ? std::span<const std::uint8_t>(payload_) : std::span<const std::uint8_t>{});
  entry.offset = file_.size();
  entry.first_reference = block.first_reference;
  entry.references = frame.references;
  entry.packed = static_cast<std::uint32_t>(packed.size());
  entry.unpacked = static_cast<std::uint32_t>(payload.bytes.size());
  entry.has_events = !frame.events.empty();
  file_.write(encode_ctr_block_header(entry));
  file_.write(packed);
  index_.push_back(entry);
  payload_ = std::move(payload.bytes);
}

void BlockPacker::finish(const TraceInfo& info) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return (!waiting_ && !is_packing_) || error_; });
    rethrow();
  }
  const std::vector<std::uint8_t> footer = encode_ctr_footer({info, index_});
  const std::vector<std::uint8_t> packed = compress(footer, kFooterLevel);
  ByteWriter trailer;
  trailer.u64(file_.size()), trailer.u64(packed.size()), trailer.u64(footer.size());
  trailer.u64(fnv1a(trailer.bytes));
  trailer.raw(kCtrEnd.data(), kCtrEnd.size());
  file_.write(packed);
  file_.write(trailer.bytes);
  file_.commit();
}

}  // namespace collapsar
