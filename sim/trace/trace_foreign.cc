#include "sim/trace/trace_foreign.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "sim/trace/trace_foreign_process.h"
#include "sim/trace/trace_input.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

using Op = TraceEvent::Op;
using ItemKind = ForeignReader::Kind;
using Item = ForeignReader::Item;

constexpr std::size_t kMostThreads = 65536;      // of all processes; pid_max is 32768 by default
constexpr std::size_t kMostMappings = 1u << 20;  // 16 processes at vm.max_map_count
constexpr std::size_t kMostChunks = 32768;       // of a PageSet, 4 KiB each: 128 MiB; 4 TiB if touched in every corner

class ForeignSource : public TraceSource {
 public:
  ForeignSource(std::unique_ptr<ForeignReader> reader, TraceInfo info, const std::vector<std::string>& files);
  const TraceInfo& info() const override { return info_; }
  std::optional<TraceItem> next() override;
  void rewind() override;

 private:
  using Processes = std::map<std::uint32_t, ForeignProcess>;
  ItemKind pull(Item& item);
  void survey();
  ForeignProcess& enter(const Item& item, Processes& processes);
  void survey_reference(const Record& r, ForeignProcess& process);
  void survey_event(const TraceEvent& e, Processes& processes);
  void note_mapping(const TraceEvent& e, ForeignProcess& process);
  void infer(const Processes& processes);
  void conclude(std::uint64_t instructions);
  [[noreturn]] void fail(const std::string& what) const {
    throw TraceError(fmt::format("{}: reference {}: {}", info_.name, info_.references, what));
  }
  std::optional<TraceItem> read_run();
  bool ends_run(ItemKind kind, TraceRun& run, std::size_t n);
  void put_birth(std::uint32_t pid, std::uint32_t tid, std::size_t n);
  void put(TraceEvent event, std::size_t n);

  std::unique_ptr<ForeignReader> reader_;
  TraceInfo info_;
  std::vector<TraceEvent> image_;
  std::uint32_t gap_ = 0;  // instructions to give to each data reference
  // Both passes.
  KnownThreads threads_;
  bool has_thread_ = false, is_held_ = false;
  // The first only.
  std::size_t chunks_ = 0, mappings_ = 0;
  // The second.
  BufferPool pool_;
  Item item_;
  std::size_t image_at_ = 0;
  std::uint64_t references_ = 0;
  std::uint32_t pid_ = 1, tid_ = 1;
  std::int64_t now_ns_ = 0;
  bool has_ended_ = false;
  std::deque<TraceEvent> pending_;  // read behind the run that was just yielded
};

ForeignSource::ForeignSource(std::unique_ptr<ForeignReader> reader, TraceInfo info,
                             const std::vector<std::string>& files)
    : reader_(std::move(reader)), info_(std::move(info)) {
  survey();
  info_.hash = hash_of_files(files);
  rewind();
}

void ForeignSource::rewind() {
  reader_->rewind();
  threads_ = {};
  item_ = {};
  image_at_ = 0, references_ = 0;
  pid_ = tid_ = 1;
  now_ns_ = 0, has_ended_ = has_thread_ = is_held_ = false;
  pending_.clear();
}

// The next item. The first reference of a reader that names no thread is held back for one that does.
ItemKind ForeignSource::pull(Item& item) {
  if (std::exchange(is_held_, false)) return ItemKind::reference;
  const ItemKind kind = reader_->next(item);
  if (kind == ItemKind::reference && !has_thread_) {
    has_thread_ = is_held_ = true;
    return ItemKind::thread;
  }
  has_thread_ |= kind == ItemKind::thread;
  return kind;
}

// --- the first pass ---

void ForeignSource::survey() {
  Processes processes;
  ForeignProcess* current = nullptr;
  std::uint64_t instructions = 0;
  Item item;
  for (ItemKind kind; (kind = pull(item)) != ItemKind::end;) {
    switch (kind) {
      case ItemKind::reference:
        survey_reference(item.record, *current);
        instructions += item.record.instructions;
        break;
      case ItemKind::event: survey_event(item.event, processes); break;
      case ItemKind::time: info_.has_stamps = true; break;
      case ItemKind::thread: current = &enter(item, processes); break;
      case ItemKind::end: break;
    }
  }
  infer(processes);
  conclude(instructions);
}

ForeignProcess& ForeignSource::enter(const Item& item, Processes& processes) {
  const auto [found, is_new] = processes.try_emplace(item.pid);
  ForeignProcess& process = found->second;
  if (is_new) process.tid = item.tid;
  if (process.name.empty()) process.name = item.program;
  process.is_described = threads_.is_described(item.pid);
  const bool is_birth = threads_.meet(item.pid, item.tid).has_value();
  info_.events += is_birth, process.has_items |= is_birth;
  if (threads_.size() > kMostThreads || processes.size() > kMostThreads)
    fail("more than 65536 threads; so many are not replayed");
  return process;
}

void ForeignSource::survey_reference(const Record& r, ForeignProcess& process) {
  ++info_.references, process.has_items = true;
  const std::uint64_t last = r.va + r.size - 1, page = r.va >> kPageShift;
  if (last < r.va) fail(fmt::format("{} bytes at {} reach beyond the last address", r.size, to_hex(r.va)));
  if (page == process.last_page && last >> kPageShift == page) return;
  process.last_page = page;
  if (process.is_described || (process.mapped.contains(r.va) && process.mapped.contains(last))) return;
  const std::size_t before = process.unmapped.chunks();
  process.unmapped.add(r);
  chunks_ += process.unmapped.chunks() - before;
  if (chunks_ > kMostChunks) fail("more than 32768 stretches of 128 MiB are touched; so many are not inferred as VMAs");
}

void ForeignSource::survey_event(const TraceEvent& e, Processes& processes) {
  ++info_.events;
  if (const auto known = processes.find(e.pid);
      e.op == Op::process && known != processes.end() && known->second.has_items)
    fail(fmt::format("process {} is described behind its first item; before it is right", e.pid));
  threads_.meet(e);
  Item item;
  item.pid = e.pid, item.tid = e.tid;
  ForeignProcess& process = enter(item, processes);
  process.last_page = ~0ULL;
  process.has_items = true;
  if (!process.is_described) note_mapping(e, process);
}

void ForeignSource::note_mapping(const TraceEvent& e, ForeignProcess& process) {
  const std::uint64_t start = align_down(e.address, kPageBytes), end = align_up(e.address + e.length, kPageBytes);
  const std::size_t before = process.mapped.size();
  process.has_calls |= e.op != Op::thread && e.op != Op::exit;
  if (e.op == Op::mmap || e.op == Op::vma) process.mapped.add(start, end);
  if (e.op == Op::munmap) process.mapped.remove(start, end);
  if (e.op == Op::mremap) {
    process.mapped.remove(start, end);
    process.mapped.add(e.new_address, align_up(e.new_address + e.new_length, kPageBytes));
  }
  if (e.op == Op::brk) {
    if (process.heap_start == 0) process.heap_start = e.address;
    process.heap_end = std::max(process.heap_end, e.address);
    process.mapped.add(align_down(process.heap_start, kPageBytes), align_up(e.address, kPageBytes));
  }
  mappings_ += process.mapped.size() - before;
  if (mappings_ > kMostMappings) fail("more than 1048576 mappings; so many are not replayed");
}

// Every process that the file does not describe is there when the trace starts.
void ForeignSource::infer(const Processes& processes) {
  bool is_any = processes.empty(), has_calls = false;
  for (const auto& [pid, process] : processes) {
    if (process.is_described) continue;
    is_any = true;
    has_calls |= process.has_calls;
    const std::vector<TraceEvent> image =
        process.unmapped.inferred_image(pid, process.tid, process.name.empty() ? info_.name : process.name);
    image_.insert(image_.end(), image.begin(), image.end());
    if (process.heap_start == 0) continue;
    TraceEvent room = image.front();  // the process
    room.op = Op::heap_room, room.name.clear();
    room.address = process.heap_start, room.length = process.heap_end - process.heap_start;
    image_.push_back(room);
  }
  info_.events += image_.size();
  info_.has_mappings = !is_any || has_calls;
  if (!is_any) return;
  info_.notes.push_back(has_calls ? "VMAs inferred for the start, from what is touched before any system call maps it"
                                  : kInferredNote);
}

void ForeignSource::conclude(std::uint64_t instructions) {
  info_.records = info_.references + info_.events;
  info_.has_instructions = instructions > 0;
  reader_->describe(info_);
  if (instructions > 0 || info_.has_instructions || info_.references == 0) return;
  gap_ = kEstimatedGap;
  info_.notes.push_back(fmt::format(
      "instruction gaps estimated: {} per data reference; the format counts no instructions", kEstimatedGap));
}

// --- the second pass ---

std::optional<TraceItem> ForeignSource::next() {
  if (image_at_ < image_.size()) return image_[image_at_++];
  if (pending_.empty() && !has_ended_) {
    if (std::optional<TraceItem> run = read_run()) return run;
  }
  if (pending_.empty()) return std::nullopt;
  TraceEvent event = std::move(pending_.front());
  pending_.pop_front();
  return event;
}

// The references up to the next change of thread, time or address space; nullopt if an event comes first, or the end.
std::optional<TraceItem> ForeignSource::read_run() {
  const std::shared_ptr<RecordBuffer> buffer = pool_.take();
  TraceRun run;
  run.pid = pid_, run.tid = tid_, run.begin_ns = run.end_ns = now_ns_;
  std::size_t n = 0;
  while (n < kMaxRun) {
    const ItemKind kind = pull(item_);
    if (kind == ItemKind::reference) {
      Record& r = (*buffer)[n++] = item_.record;
      if (gap_ > 0 && r.kind != RefKind::fetch && !is_kernel(r.kind)) r.instructions = gap_;
    } else if (ends_run(kind, run, n)) {
      break;
    }
  }
  if (n == 0) return std::nullopt;
  run.first_index = references_;
  run.records = {buffer->data(), n};
  run.storage = buffer;
  references_ += n;
  return run;
}

// Takes in what is no reference. `n` references are in the run so far.
bool ForeignSource::ends_run(ItemKind kind, TraceRun& run, std::size_t n) {
  switch (kind) {
    case ItemKind::reference: return false;
    case ItemKind::end: has_ended_ = true; return true;
    case ItemKind::time:
      now_ns_ = run.end_ns = item_.time_ns;
      if (n == 0) run.begin_ns = now_ns_;
      return n > 0;
    case ItemKind::thread:
      put_birth(item_.pid, item_.tid, n);
      if (n > 0 && pending_.empty() && pid_ == item_.pid && tid_ == item_.tid) return false;
      pid_ = item_.pid, tid_ = item_.tid;
      if (n == 0) run.pid = pid_, run.tid = tid_;
      return n > 0 || !pending_.empty();
    case ItemKind::event:
      threads_.meet(item_.event);
      put_birth(item_.event.pid, item_.event.tid, n);
      put(item_.event, n);
      return true;
  }
  return true;
}

void ForeignSource::put_birth(std::uint32_t pid, std::uint32_t tid, std::size_t n) {
  if (const std::optional<TraceEvent> birth = threads_.meet(pid, tid)) put(*birth, n);
}

void ForeignSource::put(TraceEvent event, std::size_t n) {
  event.index = references_ + n, event.stamp_ns = now_ns_;
  pending_.push_back(std::move(event));
}

}  // namespace

std::unique_ptr<TraceSource> make_foreign_source(std::unique_ptr<ForeignReader> reader, TraceInfo info,
                                                 const std::vector<std::string>& files) {
  return std::make_unique<ForeignSource>(std::move(reader), std::move(info), files);
}

}  // namespace collapsar
