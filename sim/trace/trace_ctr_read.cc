// The `.ctr` reader: one block at a time, decoded into a buffer that is used again when nobody holds it.
#include <algorithm>
#include <filesystem>

#include "sim/trace/trace_ctr.h"
#include "sim/trace/trace_input.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

class CtrReader : public SkippingSource {
 public:
  explicit CtrReader(const std::string& file);
  const TraceInfo& info() const override { return footer_.info; }
  std::optional<TraceItem> next() override;
  void rewind() override;
  void drop_references_before(std::uint64_t index) override { dropped_before_ = index; }

 private:
  [[noreturn]] void fail(std::uint64_t record, std::uint64_t offset, const std::string& what) const {
    trace_error(file_.name(), record, offset, what);
  }
  void check_header() const;
  std::vector<std::uint8_t> read_footer();
  void check_index() const;
  bool load_block();  // false at the end of the trace
  [[noreturn]] void fail_block(std::size_t block, const std::string& what) const {
    fail(footer_.index[block].first_reference, footer_.index[block].offset, fmt::format("block {}: {}", block, what));
  }
  void unpack(std::size_t block);
  void unpack_next(std::size_t block);
  void decode(std::size_t block);
  bool can_skip(const CtrIndexEntry& entry) const {
    return !entry.has_events && entry.first_reference + entry.references <= dropped_before_;
  }
  TraceRun take_run();
  void check_end() const;

  InputFile file_;
  FrameDecompressor decompressor_;
  CtrFooter footer_;
  std::uint64_t footer_offset_ = 0;
  std::uint64_t dropped_before_ = 0;
  BufferPool pool_;
  static constexpr std::size_t kNoBlock = ~std::size_t{0} - 1;
  std::size_t unpacked_ = kNoBlock;  // the block whose bytes are in payload_
  std::vector<std::uint8_t> packed_, payload_, previous_;
  std::shared_ptr<RecordBuffer> records_;
  BlockFrame frame_;
  std::size_t next_block_ = 0;
  std::uint64_t first_reference_ = 0;  // of the current block
  std::uint32_t position_ = 0;         // in the current block
  std::size_t event_ = 0, thread_ = 0, segment_ = 0;
  ContentHash hash_;
  std::uint64_t events_ = 0;
  bool has_thread_ = false;
  std::uint32_t pid_ = 0, tid_ = 0;
};

CtrReader::CtrReader(const std::string& file) : file_(file) {
  check_header();
  const std::vector<std::uint8_t> bytes = read_footer();
  try {
    footer_ = decode_ctr_footer(bytes, footer_offset_ / kCtrBlockHeaderBytes);
  } catch (const Malformed& m) {
    fail(0, m.offset, fmt::format("in the unpacked footer: {}", m.what));
  }
  check_index();
  footer_.info.name = file_name(file);
  footer_.info.format = "ctr";
}

void CtrReader::check_header() const {
  std::vector<std::uint8_t> header(kCtrHeaderBytes);
  if (file_.size() == 0) fail(0, 0, "the file is empty; a .ctr file is right");
  if (file_.read(0, header) != header.size())
    fail(0, file_.size(), "the header ends too early; a whole .ctr file is right");
  if (!std::equal(kCtrMagic.begin(), kCtrMagic.end(), header.begin()))
    fail(0, 0, "this is no .ctr file; it would begin with \\x89CTR");
  std::uint32_t version;
  std::memcpy(&version, header.data() + kCtrMagic.size(), sizeof version);
  if (version != kCtrVersion)
    fail(0, kCtrMagic.size(), fmt::format("version {} is unknown; {} is right", version, kCtrVersion));
  if (header != encode_ctr_header())
    fail(0, kCtrMagic.size() + sizeof version, "the header is broken; a whole .ctr file is right");
}

std::vector<std::uint8_t> CtrReader::read_footer() {
  if (file_.size() < kCtrHeaderBytes + kCtrTrailerBytes)
    fail(0, file_.size(), "the file ends before its trailer; a whole .ctr file is right");
  const std::uint64_t at = file_.size() - kCtrTrailerBytes;
  std::vector<std::uint8_t> trailer(kCtrTrailerBytes);
  file_.read(at, trailer);
  ByteReader in(trailer);
  const std::uint64_t offset = in.u64(), packed = in.u64(), unpacked = in.u64();
  const std::uint64_t check = fnv1a({trailer.data(), in.offset()});
  if (in.u64() != check || !std::equal(kCtrEnd.begin(), kCtrEnd.end(), in.raw(kCtrEnd.size()))) {
    fail(0, at, "the trailer is broken: the file was cut or changed; a whole .ctr file is right");
  }
  if (offset < kCtrHeaderBytes || offset > at || packed != at - offset || unpacked > kCtrFooterBytes) {
    fail(0, at, "the trailer points at no footer; a whole .ctr file is right");
  }
  footer_offset_ = offset;
  std::vector<std::uint8_t> frame(packed), bytes(unpacked);
  file_.read(offset, frame);
  try {
    FrameDecompressor().decompress(frame, bytes);
  } catch (const Malformed& m) {
    fail(0, offset, fmt::format("the footer: {}", m.what));
  }
  return bytes;
}

void CtrReader::check_index() const {
  std::uint64_t references = 0, end = kCtrHeaderBytes;
  for (const CtrIndexEntry& e : footer_.index)
    references += e.references, end = e.offset + kCtrBlockHeaderBytes + e.packed;
  if (end != footer_offset_)
    fail(0, end,
         fmt::format("the blocks end here, the footer begins at {}; it follows the last block", footer_offset_));
  if (references != info().references)
    fail(0, footer_offset_,
         fmt::format("the footer counts {} references, its index {}", info().references, references));
}

void CtrReader::rewind() {
  next_block_ = 0, first_reference_ = 0;
  position_ = 0, event_ = 0, thread_ = 0, segment_ = 0;
  frame_ = {};
  hash_ = {};
  events_ = 0;
  has_thread_ = false;
}

bool CtrReader::load_block() {
  while (next_block_ < footer_.index.size() && can_skip(footer_.index[next_block_])) ++next_block_;
  if (next_block_ == footer_.index.size()) return false;
  decode(next_block_);
  first_reference_ = footer_.index[next_block_].first_reference;
  ++next_block_;
  position_ = 0, event_ = 0, thread_ = 0, segment_ = 0;
  return true;
}

// A chained block needs the bytes of the one before: unpacks from the last block that stands alone.
void CtrReader::unpack(std::size_t block) {
  std::size_t first = block;
  while (footer_.index[first].is_chained && first != unpacked_ + 1) --first;
  for (; first <= block; ++first) unpack_next(first);
}

void CtrReader::unpack_next(std::size_t block) {
  const CtrIndexEntry& entry = footer_.index[block];
  packed_.resize(kCtrBlockHeaderBytes + entry.packed);
  if (file_.read(entry.offset, packed_) != packed_.size()) fail_block(block, "the file ends too early");
  const std::vector<std::uint8_t> header = encode_ctr_block_header(entry);
  if (!std::equal(header.begin(), header.end(), packed_.begin()))
    fail_block(block, "its header is not what the index says");
  std::swap(payload_, previous_);
  payload_.resize(entry.unpacked);
  unpacked_ = kNoBlock;
  try {
    decompressor_.decompress(
        std::span(packed_).subspan(kCtrBlockHeaderBytes), payload_,
        entry.is_chained ? std::span<const std::uint8_t>(previous_) : std::span<const std::uint8_t>{});
  } catch (const Malformed& m) {
    fail_block(block, m.what);
  }
  unpacked_ = block;
}

void CtrReader::decode(std::size_t block) {
  const CtrIndexEntry& entry = footer_.index[block];
  unpack(block);
  records_.reset();
  records_ = pool_.take();
  try {
    frame_ = decode_block(payload_, entry.first_reference, records_->data(), hash_);
  } catch (const Malformed& m) {
    fail_block(block, fmt::format("at byte {} of its unpacked data: {}", m.offset, m.what));
  }
  if (frame_.references != entry.references) fail_block(block, "it has not as many references as the index says");
}

TraceRun CtrReader::take_run() {
  while (thread_ + 1 < frame_.threads.size() && frame_.threads[thread_ + 1].position <= position_) ++thread_;
  while (segment_ + 1 < frame_.segments.size() && frame_.segments[segment_ + 1].position <= position_) ++segment_;
  std::uint32_t end = frame_.references;
  if (event_ < frame_.events.size()) end = std::min(end, frame_.events[event_].position);
  if (thread_ + 1 < frame_.threads.size()) end = std::min(end, frame_.threads[thread_ + 1].position);
  TraceRun run;
  run.pid = frame_.threads[thread_].pid, run.tid = frame_.threads[thread_].tid;
  if (!frame_.segments.empty()) {
    const StampSegment& segment = frame_.segments[segment_];
    const std::uint32_t segment_end =
        segment_ + 1 < frame_.segments.size() ? frame_.segments[segment_ + 1].position : frame_.references;
    end = std::min(end, segment_end);
    const std::uint32_t length = segment_end - segment.position;
    run.begin_ns = stamp_at(segment.begin_ns, segment.end_ns, position_ - segment.position, length);
    run.end_ns = stamp_at(segment.begin_ns, segment.end_ns, end - segment.position, length);
  }
  run.first_index = first_reference_ + position_;
  run.records = {records_->data() + position_, end - position_};
  run.reach = frame_.reach;
  run.storage = records_;
  position_ = end;
  if (!has_thread_ || run.pid != pid_ || run.tid != tid_) hash_.add_thread(run.first_index, run.pid, run.tid);
  has_thread_ = true, pid_ = run.pid, tid_ = run.tid;
  return run;
}

std::optional<TraceItem> CtrReader::next() {
  while (true) {
    if (event_ < frame_.events.size() && frame_.events[event_].position == position_) {
      TraceEvent event = std::move(frame_.events[event_++].event);
      hash_.add(event);
      ++events_;
      return event;
    }
    const std::uint64_t index = first_reference_ + position_;
    if (index < dropped_before_ && position_ < frame_.references) {
      const std::uint32_t stop = event_ < frame_.events.size() ? frame_.events[event_].position : frame_.references;
      position_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(stop, dropped_before_ - first_reference_));
    } else if (position_ < frame_.references) {
      return take_run();
    } else if (!load_block()) {
      check_end();
      return std::nullopt;
    }
  }
}

void CtrReader::check_end() const {
  const std::uint64_t references = info().references;
  if (events_ != info().events)
    fail(references, file_.size(),
         fmt::format("the footer counts {} events, the blocks hold {}", info().events, events_));
  if (dropped_before_ == 0 && hash_.text() != info().hash) {
    fail(references, file_.size(),
         fmt::format("the content has the hash {}; {} is right: the file was changed", hash_.text(), info().hash));
  }
}

}  // namespace

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

bool is_ctr(const std::string& file) {
  std::array<std::uint8_t, 8> magic{};
  InputFile(file).read(0, magic);
  return magic == kCtrMagic;
}

std::unique_ptr<TraceSource> open_ctr(const std::string& file) { return std::make_unique<CtrReader>(file); }

}  // namespace collapsar
