// The captured plane format: the files of one recording, merged into one total order.
//
// Order:       the process whose next item is earliest goes on, for kMergeSlice at most past the next other one. A
//              child's first item follows the fork that made it; the fork is stamped with the child's own first moment.
//              A child whose files are not given exists from its fork on, touches nothing, and ends when its parent has
//              waited for it (wait4), if it does.
#include <algorithm>
#include <filesystem>

#include "sim/trace/trace_planes_process.h"

namespace collapsar {

namespace {

using Op = TraceEvent::Op;

// Two processes that run at the same time are interleaved in slices of this length (of traced time): well below the 10
// to 30 ms between two stamped lines, and still thousands of references.
constexpr std::int64_t kMergeSlice = 1'000'000;

// The value of "key": "text" or "key": word in the flat JSON object beside a trace; empty if absent. It only describes.
std::string json_value(const std::string& json, const std::string& key) {
  std::size_t at = json.find(fmt::format("\"{}\":", key));
  if (at == std::string::npos) return {};
  at = json.find_first_not_of(" \n", at + key.size() + 3);
  if (at == std::string::npos) return {};
  std::string value;
  if (json[at] != '"') return json.substr(at, json.find_first_of(",\n}", at) - at);
  for (++at; at < json.size() && json[at] != '"'; ++at) {
    if (json[at] == '\\' && at + 1 < json.size()) ++at;
    value += json[at];
  }
  return value;
}

class PlanesSource : public TraceSource {
 public:
  explicit PlanesSource(const std::vector<std::string>& stems);
  const TraceInfo& info() const override { return info_; }
  std::optional<TraceItem> next() override;
  void rewind() override;

 private:
  using Images = std::map<std::uint32_t, std::vector<PlaneImage>>;
  void describe(const std::string& stem, bool is_first);
  void note_gaps(PlaneGaps gaps);
  void connect(PlaneProcess& process);
  void connect_child(PlaneProcess& child, PlaneProcess& parent);
  PlaneProcess* find(std::uint32_t pid);
  PlaneProcess* earliest();

  std::vector<PlaneProcess> processes_;  // by pid
  TraceInfo info_;
  BufferPool pool_;
  std::int64_t origin_ns_ = 0;
  std::uint64_t references_ = 0;  // yielded so far
};

// The images of every process, in order of their names (SEQ counts execve images).
std::map<std::uint32_t, std::vector<PlaneImage>> read_images(std::vector<std::string> stems) {
  std::set<std::uint32_t> given;
  const auto sequence = [](const std::string& stem) {
    const std::size_t dot = stem.rfind('.');
    return dot == std::string::npos ? 0 : std::strtoul(stem.c_str() + dot + 1, nullptr, 10);
  };
  std::stable_sort(stems.begin(), stems.end(), [&](const auto& a, const auto& b) { return sequence(a) < sequence(b); });
  for (const std::string& stem : stems) given.insert(read_plane_header(stem + ".events.zst").pid);
  std::map<std::uint32_t, std::vector<PlaneImage>> images;
  FileNumbers files;
  for (const std::string& stem : stems) {
    PlaneImage image{stem, std::make_unique<PlaneRecords>(stem + ".mtp.zst"), {}};
    image.events = read_plane_events(stem + ".events.zst", image.records->count(), given, files);
    images[image.events.pid].push_back(std::move(image));
  }
  return images;
}

void insert_in_order(std::vector<TraceEvent>& events, TraceEvent event) {
  const auto is_before = [](const TraceEvent& a, const TraceEvent& b) {
    return a.index != b.index ? a.index < b.index : a.stamp_ns < b.stamp_ns;
  };
  events.insert(std::upper_bound(events.begin(), events.end(), event, is_before), event);
}

PlanesSource::PlanesSource(const std::vector<std::string>& stems) {
  info_.name = file_name(stems.front());
  info_.format = "planes";
  info_.has_instructions = false, info_.has_stamps = true;
  Images images = read_images(stems);
  std::uint64_t fetches = 0;
  for (auto& [pid, list] : images) {
    for (const PlaneImage& image : list) {
      const PlaneRecords::Counts counts = image.records->count_kinds();
      info_.references += image.records->count() - counts.switches;
      fetches += counts.fetches;
    }
  }
  const PlaneGaps gaps = fetches > 0 ? kGapsWithFetches : kGapsWithoutFetches;
  for (auto& [pid, list] : images) processes_.emplace_back(std::move(list), gaps);
  note_gaps(gaps);
  for (PlaneProcess& process : processes_) connect(process);
  std::vector<std::string> files;
  for (std::size_t i = 0; i < stems.size(); ++i) {
    describe(stems[i], i == 0);
    files.push_back(stems[i] + ".mtp.zst"), files.push_back(stems[i] + ".events.zst");
  }
  info_.hash = hash_of_files(files);
  info_.records = info_.references + info_.events;
  rewind();
}

void PlanesSource::note_gaps(PlaneGaps gaps) {
  info_.notes.push_back(
      gaps.fetch > 0
          ? fmt::format(
                "instruction gaps estimated: {} per fetch record (entry of a code block) and {} per data reference",
                gaps.fetch, gaps.data)
          : fmt::format("instruction gaps estimated: {} per data reference; fetches were not recorded", gaps.data));
  info_.notes.push_back("time stamps are those of the traced run, slowed down by the tracer");
}

// What the JSON file beside a trace says of it, if there is one.
void PlanesSource::describe(const std::string& stem, bool is_first) {
  if (!std::filesystem::exists(stem + ".json")) return;
  InputStream stream(stem + ".json");
  const std::string json = read_all(stream);
  if (is_first) info_.command = json_value(json, "command");
  if (json_value(json, "complete_run") == "false") info_.complete = false;
  const std::string options = json_value(json, "capture_options");
  if (is_first && !options.empty()) info_.notes.push_back(fmt::format("captured with {}", options));
}

PlaneProcess* PlanesSource::find(std::uint32_t pid) {
  const auto it =
      std::find_if(processes_.begin(), processes_.end(), [&](const PlaneProcess& p) { return p.pid() == pid; });
  return it == processes_.end() ? nullptr : &*it;
}

void PlanesSource::connect(PlaneProcess& process) {
  const std::int64_t start = process.first().anchors.front().ns;
  origin_ns_ = origin_ns_ == 0 ? start : std::min(origin_ns_, start);
  PlaneProcess* parent = process.first().forked_from ? find(*process.first().forked_from) : nullptr;
  if (parent) connect_child(process, *parent);
  if (!parent && info_.program.empty()) info_.program = process.first().exe;
  for (PlaneImage& image : process.images()) {
    PlaneEvents& from = image.events;
    for (const auto& [pid, exit] : from.waited) {
      const auto is_its_fork = [child = pid](const TraceEvent& e) { return e.op == Op::fork && e.value == child; };
      if (find(pid) || std::none_of(from.events.begin(), from.events.end(), is_its_fork)) continue;
      TraceEvent end = exit;
      end.pid = pid;
      insert_in_order(from.events, end);
      info_.notes.push_back(
          fmt::format("process {} was forked but not traced: it is there until its parent has waited for it", pid));
    }
    if (from.ends_with_exec && &image == &process.images().back()) {
      info_.notes.push_back(fmt::format("process {} went on as another program that was not traced", process.pid()));
      TraceEvent end = from.events.back();
      end = {.op = Op::truncated,
             .pid = end.pid,
             .tid = end.tid,
             .index = image.records->count(),
             .stamp_ns = from.anchors.back().ns,
             .name = {}};
      from.events.push_back(end);
      from.is_truncated = true;
    }
    if (from.is_truncated) info_.complete = false;
    info_.events += from.events.size();
    if (!parent || &image != &process.images().front()) info_.events += from.image.size() + 1;
  }
}

// The fork stands where the parent's file has its system call, at the moment of the child's first line: from there on
// the child's own stamps count. Without that line (cut off) it stands where the child says.
void PlanesSource::connect_child(PlaneProcess& child, PlaneProcess& parent) {
  child.is_child = true;
  const std::int64_t start = child.first().anchors.front().ns;
  for (PlaneImage& image : parent.images()) {
    for (TraceEvent& e : image.events.events) {
      if (e.op != Op::fork || e.value != child.pid()) continue;
      std::vector<PlaneAnchor>& anchors = image.events.anchors;
      const auto call = std::find_if(anchors.begin(), anchors.end(),
                                     [&](const PlaneAnchor& a) { return a.index == e.index && a.ns == e.stamp_ns; });
      if (call != anchors.begin() && std::prev(call)->ns <= start && start < e.stamp_ns) {
        e.stamp_ns = start;
        anchors.insert(call, {e.index, start});
      }
      e.new_tid = child.first().tid;
      return;
    }
  }
  PlaneImage& image = parent.images().front();
  TraceEvent fork;
  fork.op = Op::fork, fork.pid = parent.pid(), fork.tid = parent.first().tid;
  fork.index = std::min(child.first().parent_index, image.records->count()), fork.stamp_ns = start;
  fork.value = child.pid(), fork.new_tid = child.first().tid;
  insert_in_order(image.events.events, fork);
}

void PlanesSource::rewind() {
  for (PlaneProcess& process : processes_) process.rewind();
  references_ = 0;
}

PlaneProcess* PlanesSource::earliest() {
  PlaneProcess* first = nullptr;
  for (PlaneProcess& process : processes_) {
    if (!process.is_running || process.now() == PlaneProcess::kEnd) continue;
    if (!first || process.now() < first->now()) first = &process;
  }
  return first;
}

std::optional<TraceItem> PlanesSource::next() {
  while (PlaneProcess* process = earliest()) {
    std::int64_t until = PlaneProcess::kEnd;
    for (const PlaneProcess& other : processes_) {
      if (&other != process && other.is_running && other.now() != PlaneProcess::kEnd)
        until = std::min(until, other.now() + kMergeSlice);
    }
    std::optional<TraceItem> item = process->take(until, pool_);
    if (!item) continue;
    if (auto* run = std::get_if<TraceRun>(&*item)) {
      run->first_index = references_;
      run->begin_ns -= origin_ns_, run->end_ns -= origin_ns_;
      references_ += run->records.size();
    } else {
      auto& event = std::get<TraceEvent>(*item);
      event.index = references_;
      event.stamp_ns -= origin_ns_;
      if (PlaneProcess* child = event.op == Op::fork ? find(static_cast<std::uint32_t>(event.value)) : nullptr)
        child->is_running = true;
    }
    return item;
  }
  return std::nullopt;
}

}  // namespace

std::unique_ptr<TraceSource> open_planes(const std::vector<std::string>& stems) {
  return std::make_unique<PlanesSource>(stems);
}

}  // namespace collapsar
