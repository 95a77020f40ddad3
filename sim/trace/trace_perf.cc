// Text of `perf script -F [comm,]pid,tid,time,[event,]addr[,ip]` over page-fault or memory-access samples.
//
// Models:      one reference per sample, at its time: the load or store that a memory sample's data source tells, else what
//              its event's name says; a page fault at its own instruction is a fetch. Processes and threads are perf's.
// Simplified:  samples are all there is: what comes between two of them is unknown, so TLB counts of such a trace mean little,
//              while which pages were written, when and in what order is exact for page faults, if there are no huge
//              pages. Of a file's pages that are only read the kernel maps up to 16 at one fault (do_fault_around,
//              mm/memory.c): most are missing. A page fault does not say whether it was a read: it counts as a store.
//              Sizes are not told: 1 byte.
// Source:      perf-script(1); output of perf 6.1 for -e page-faults -d.
#include <algorithm>

#include "sim/trace/trace_foreign.h"
#include "sim/trace/trace_lines.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

struct Sample {
  std::string_view program;
  std::uint32_t pid = 0, tid = 0;
  std::int64_t time_ns = 0;
  std::string_view event;
  std::uint64_t address = 0;
  RefKind kind = RefKind::store;
};

// "1064.536581:" in ns; perf prints 6 or 9 decimals.
std::optional<std::int64_t> time_of(std::string_view word) {
  const std::size_t dot = word.find('.');
  if (!word.ends_with(':') || dot == std::string_view::npos) return std::nullopt;
  const std::string_view fraction = word.substr(dot + 1, word.size() - dot - 2);
  const auto seconds = decimal_number(word.substr(0, dot)), part = decimal_number(fraction);
  constexpr std::uint64_t kCentury = 3'200'000'000;
  if (!seconds || !part || *seconds > kCentury || fraction.size() > 9) return std::nullopt;
  std::uint64_t ns = *part;
  for (std::size_t digits = fraction.size(); digits < 9; ++digits) ns *= 10;
  return static_cast<std::int64_t>(*seconds * 1'000'000'000 + ns);
}

// "11895/11896" behind the program's name, perhaps with the CPU, "[003]", behind it.
bool parse_task(std::string_view head, Sample& sample) {
  while (!head.empty() && is_blank(head.back())) head.remove_suffix(1);
  if (head.ends_with(']')) head = head.substr(0, head.rfind('['));
  while (!head.empty() && is_blank(head.back())) head.remove_suffix(1);
  const std::size_t blank = head.find_last_of(" \t");
  const std::string_view task = blank == std::string_view::npos ? head : head.substr(blank + 1);
  const std::size_t slash = task.find('/');
  if (slash == std::string_view::npos) return false;
  const auto pid = decimal_number(task.substr(0, slash)), tid = decimal_number(task.substr(slash + 1));
  if (!pid || !tid || *pid > INT32_MAX || *tid > INT32_MAX) return false;  // a pid_t
  sample.pid = static_cast<std::uint32_t>(*pid), sample.tid = static_cast<std::uint32_t>(*tid);
  std::string_view program = head.substr(0, head.size() - task.size());
  while (!program.empty() && is_blank(program.front())) program.remove_prefix(1);
  while (!program.empty() && is_blank(program.back())) program.remove_suffix(1);
  sample.program = program;
  return true;
}

RefKind kind_of(const Sample& sample, std::string_view behind_address, std::uint64_t ip) {
  if (behind_address.find("|OP STORE") != std::string_view::npos) return RefKind::store;
  if (behind_address.find("|OP LOAD") != std::string_view::npos) return RefKind::load;
  if (sample.event.find("fault") != std::string_view::npos || sample.event.empty())
    return ip == sample.address ? RefKind::fetch : RefKind::store;
  return sample.event.find("store") != std::string_view::npos ? RefKind::store : RefKind::load;
}

// The instruction's address, in what stands behind the touched one: perf prints both 16 columns wide, which tells it from
// a symbol that looks like a number.
std::optional<std::uint64_t> find_ip(std::string_view rest) {
  constexpr std::size_t kColumns = 16;
  while (true) {
    const std::size_t before = rest.size();
    const std::string_view word = take_word(rest);
    if (word.empty()) return std::nullopt;
    if (before - rest.size() < kColumns) continue;
    if (const std::optional<std::uint64_t> ip = hex_number(word)) return ip;
  }
}

// What stands behind the time: [period] [event:] address [symbol], then [data source] [weight] [ip [symbol]]. One number
// with a symbol is the instruction's: the touched address was not asked for.
bool parse_address(std::string_view rest, Sample& sample) {
  std::string_view after = rest;
  for (unsigned i = 0; i < 2; ++i) {  // behind a period or without one
    const std::string_view word = take_word(after);
    if (!word.ends_with(':')) continue;
    sample.event = word.substr(0, word.size() - 1), rest = after;
    break;
  }
  const std::optional<std::uint64_t> address = hex_number(take_word(rest));
  if (!address) return false;
  sample.address = *address;
  const std::optional<std::uint64_t> ip = find_ip(rest);
  std::string_view behind = rest;
  if (!ip && !take_word(behind).empty() && rest.find("|OP ") == std::string_view::npos) return false;
  sample.kind = kind_of(sample, rest, ip.value_or(0));
  return true;
}

// "t_prog 11895/11895  1064.536581:  1 page-faults:  562c6724a010 ffffffff81775b9a elf_load+0x28a ([kernel])"
std::optional<Sample> parse_sample(std::string_view line) {
  std::string_view rest = line;
  for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest)) {
    const std::optional<std::int64_t> time = time_of(word);
    if (!time) continue;
    Sample sample;
    sample.time_ns = *time;
    const auto head = static_cast<std::size_t>(word.data() - line.data());
    if (!parse_task(line.substr(0, head), sample) || !parse_address(rest, sample)) return std::nullopt;
    return sample;
  }
  return std::nullopt;
}

// Blank lines part samples with call chains; those lines are "   ffffffff81775b9a elf_load+0x28a (...)".
bool is_no_sample(std::string_view line) {
  if (line.empty() || line[0] == '#') return true;
  const bool is_indented = is_blank(line[0]);
  const std::string_view first = take_word(line);
  return first.empty() || (is_indented && hex_number(first) && line.find('(') != std::string_view::npos &&
                           line.find(": ") == std::string_view::npos);
}

class PerfReader : public ForeignReader {
 public:
  explicit PerfReader(const std::string& file) : text_(file) {}
  Kind next(Item& item) override;
  void rewind() override;
  void describe(TraceInfo& info) const override;

 private:
  enum class Left : std::uint8_t { nothing, time, reference };
  TextLines text_;
  Left left_ = Left::nothing;  // of the sample that was read last
  std::int64_t start_ns_ = -1;
  Record record_;
  std::int64_t time_ns_ = 0;
};

void PerfReader::rewind() {
  text_.rewind();
  left_ = Left::nothing, start_ns_ = -1;
}

void PerfReader::describe(TraceInfo& info) const {
  info.notes.emplace_back(
      "perf samples: what happened between two samples is unknown; sizes not recorded, page faults taken as stores");
}

ForeignReader::Kind PerfReader::next(Item& item) {
  if (left_ == Left::time) {
    left_ = Left::reference, item.time_ns = time_ns_;
    return Kind::time;
  }
  if (left_ == Left::reference) {
    left_ = Left::nothing, item.record = record_;
    return Kind::reference;
  }
  std::string_view line;
  while (text_.next(line)) {
    const std::optional<Sample> sample = parse_sample(line);
    if (!sample && is_no_sample(line)) continue;
    if (!sample) text_.fail(line, "the text of perf script -F comm,pid,tid,time,event,addr,ip is right");
    if (start_ns_ < 0) start_ns_ = sample->time_ns;
    time_ns_ = std::max<std::int64_t>(0, sample->time_ns - start_ns_);
    record_ = {sample->address, 0, 1, sample->kind, 0};
    item.pid = sample->pid, item.tid = sample->tid, item.program = sample->program;
    left_ = Left::time;
    return Kind::thread;
  }
  return Kind::end;
}

}  // namespace

bool is_perf(const std::string& file) {
  constexpr std::size_t kLines = 200;  // a header of # lines may come first
  for (const std::string& line : first_lines(file, kLines)) {
    std::string_view rest = line;
    for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest))
      if (time_of(word)) return true;
    if (!is_no_sample(line)) return false;
  }
  return false;
}

std::unique_ptr<TraceSource> open_perf(const std::string& file) {
  return make_foreign_source(std::make_unique<PerfReader>(file), named_info(file, "perf"), {file});
}

}  // namespace collapsar
