#include "sim/run/scenario_record.h"

#include "models/kernel/scan_result.h"

namespace collapsar {
namespace {

// The scenario's memory; below and above lie the recorder's own VMAs.
constexpr std::uint64_t kLow = 1ULL << 40, kHigh = 2ULL << 40;

bool holds_huge_block(VirtRange r) { return align_up(r.start, kHugeBytes) + kHugeBytes <= r.end; }

// VMAs worth a record: those of the scenario, and any other that holds an aligned 2 MiB block.
bool is_shown(VirtRange r) { return (r.start.value >= kLow && r.start.value < kHigh) || holds_huge_block(r); }

}  // namespace

// --- frame of a case ---

void ScenarioRecord::begin_case(const std::string& name, const std::string& release) {
  names_.clear();
  line_ = wake_ = 0;
  loop_ = {};
  write({{"t", "case"}, {"name", name}, {"kernel", release}, {"format", 1}});
}

void ScenarioRecord::end_case(const std::string& name) { write({{"t", "end"}, {"name", name}}); }

void ScenarioRecord::at(std::uint32_t line, const std::string& actor) {
  line_ = line;
  actor_ = actor;
}

void ScenarioRecord::command(const std::string& text, std::int64_t rc, int error) {
  write({{"t", "cmd"}, {"line", line_}, {"cmd", text}, {"rc", rc}, {"errno", error}});
}

void ScenarioRecord::begin_pass(std::uint32_t number) {
  wake_ = number;
  loop_ = {};
}

void ScenarioRecord::end_pass(std::uint64_t collapsed, std::uint64_t full_scans, const char* asleep) {
  leave_vma();
  Json r = event("wake");
  r["visits"] = loop_.visits;
  r["vmas_skipped"] = loop_.skipped;
  r["vmas_empty"] = loop_.empty;
  r["pmds"] = loop_.ranges;
  r["collapsed"] = collapsed;
  r["full_scans"] = full_scans;
  r["asleep"] = asleep;
  write(r);
  loop_.vma = {};
  wake_ = 0;
}

void ScenarioRecord::counters(const Counters& changes) {
  Json values = Json::object();
  for (const auto& [name, change] : changes) values[name] = change;
  write({{"t", "counters"}, {"vmstat", values}});
}

// --- events ---

ScenarioRecord::Json ScenarioRecord::event(const char* type) const {
  return {{"t", type}, {"line", line_}, {"wake", wake_}};
}

std::string ScenarioRecord::name_of(const AddressSpace& mm) const {
  const auto it = names_.find(mm.asid());
  return it == names_.end() ? "?" : it->second;
}

void ScenarioRecord::entered(const AddressSpace& mm) {
  if (!names_.contains(mm.asid()) && !child_.empty()) name(mm, child_);
  if (!names_.contains(mm.asid())) return;
  Json r = event("enter");
  r["proc"] = name_of(mm);
  r["by"] = actor_;
  write(r);
}

void ScenarioRecord::left(const AddressSpace& mm) {
  if (!names_.contains(mm.asid())) return;
  Json r = event("leave");
  r["proc"] = name_of(mm);
  r["by"] = actor_;
  write(r);
}

// From 6.12 on a VMA whose advice the sysfs mode does not allow is turned away before the place that is watched.
bool ScenarioRecord::is_seen(const Vma& vma) const {
  if (!kernel_.context().rules.sysfs_first || !vma.is_anonymous()) return true;
  const ThpEnabled enabled = kernel_.config().thp.enabled;
  return enabled == ThpEnabled::always || (enabled == ThpEnabled::madvise && vma.is(Vma::kHugePage));
}

void ScenarioRecord::leave_vma() {
  if (loop_.vma.empty()) return;
  if (!loop_.is_eligible) ++loop_.skipped;
  else if (!loop_.was_scanned) ++loop_.empty;
}

void ScenarioRecord::vma_looked_at(const AddressSpace& mm, const Vma& vma, bool is_eligible) {
  if (!is_seen(vma)) return;
  leave_vma();
  const bool is_new =
      loop_.vma.empty() || loop_.lock_dropped || mm.asid() != loop_.asid || vma.range.start <= loop_.vma.start;
  if (is_new) {
    ++loop_.visits;
    Json r = event("visit");
    r["proc"] = name_of(mm);
    r["first_vma"] = to_hex(vma.range.start.value);
    write(r);
  }
  loop_.lock_dropped = loop_.was_scanned = false;
  loop_.vma = vma.range;
  loop_.asid = mm.asid();
  loop_.is_eligible = is_eligible;
  if (!is_eligible && !is_shown(vma.range)) return;
  Json r = event("vma");
  r["proc"] = name_of(mm);
  r["start"] = to_hex(vma.range.start.value);
  r["end"] = to_hex(vma.range.end.value);
  r["eligible"] = int(is_eligible);
  write(r);
}

ScenarioRecord::Json ScenarioRecord::scan_event(const char* type, const AddressSpace& mm, VirtAddr base,
                                                bool by_khugepaged) const {
  Json r = event(type);
  r["proc"] = name_of(mm);
  r["by"] = by_khugepaged ? "khugepaged" : actor_;
  r["addr"] = to_hex(base.value);
  return r;
}

unsigned ScenarioRecord::swapin_code(ScanResult result) const { return result == ScanResult::SUCCEED; }

void ScenarioRecord::pmd_scanned(const PmdScan& scan) {
  Json r = scan_event("pmd", *scan.mm, scan.base, scan.by_khugepaged);
  r["status"] = trace_name(scan.status);
  r["writable"] = int(scan.counts.writable);
  r["referenced"] = scan.counts.referenced;
  r["none_or_zero"] = scan.counts.none_or_zero;
  r["unmapped"] = scan.counts.unmapped;
  if (scan.swapin)
    r["swapin"] = {{"swapped_in", scan.swapin->swapped_in},
                   {"referenced", scan.swapin->referenced},
                   {"ret", swapin_code(scan.swapin->result)}};
  if (scan.isolate)
    r["isolate"] = {{"none_or_zero", scan.isolate->counts.none_or_zero},
                    {"referenced", scan.isolate->counts.referenced},
                    {"writable", int(scan.isolate->counts.writable)},
                    {"status", trace_name(scan.isolate->status)}};
  if (scan.collapse)
    r["collapse"] = {{"isolated", int(*scan.collapse == ScanResult::SUCCEED)}, {"status", trace_name(*scan.collapse)}};
  write(r);
  if (!scan.by_khugepaged) return;
  ++loop_.ranges;
  loop_.was_scanned = true;
  loop_.lock_dropped |= scan.collapse.has_value();
}

void ScenarioRecord::file_scanned(const FileScan& scan) {
  Json r = scan_event("file", *scan.mm, scan.base, scan.by_khugepaged);
  r["index"] = scan.index;
  r["status"] = trace_name(scan.status);
  r["present"] = scan.present;
  r["swap"] = scan.swap;
  if (scan.collapse) r["collapse"] = {{"status", trace_name(*scan.collapse)}};
  write(r);
  if (!scan.by_khugepaged) return;
  ++loop_.ranges;
  loop_.was_scanned = loop_.lock_dropped = true;
}

void ScenarioRecord::pte_mapped(const AddressSpace& mm, VirtAddr base, bool by_khugepaged, ScanResult status) {
  Json r = scan_event("pte_mapped", mm, base, by_khugepaged);
  r["status"] = trace_name(status);
  write(r);
}

void ScenarioRecord::busy(const AddressSpace& mm, bool is_write) {
  Json r = event("busy");
  r["proc"] = name_of(mm);
  r["write"] = int(is_write);
  write(r);
  loop_.lock_dropped = true;
}

// --- snapshots ---

void ScenarioRecord::snapshot(const std::string& label, const std::string& process, AddressSpace& mm) {
  Json r = {{"t", "snap"}, {"line", line_}, {"label", label}, {"proc", process}};
  r["vmas"] = Json::array();
  r["pmds"] = Json::array();
  VirtAddr done{};
  for (const auto& [start, vma] : mm.vmas()) {
    if (vma.range.start.value >= 2 * kHigh && vma.range.start.value < 4 * kHigh) continue;  // of `hog` and `lock`
    r["vmas"].push_back(vma_of(mm, vma));
    if (!is_shown(vma.range)) continue;
    for (VirtAddr base = std::max(huge_base(vma.range.start), done); base < vma.range.end; base += kHugeBytes)
      if (is_readable(base)) r["pmds"].push_back(window(mm, base));
    done = align_up(vma.range.end, kHugeBytes);
  }
  write(r);
}

ScenarioRecord::Json ScenarioRecord::vma_of(AddressSpace& mm, const Vma& vma) const {
  const auto letter = [&](Vma::Flag flag, char is, char is_not) { return vma.is(flag) ? is : is_not; };
  const std::string prot{letter(Vma::kRead, 'r', '-'), letter(Vma::kWrite, 'w', '-'), letter(Vma::kExec, 'x', '-'),
                         letter(Vma::kShared, 's', 'p')};
  Json v = {{"start", to_hex(vma.range.start.value)}, {"end", to_hex(vma.range.end.value)}, {"prot", prot}};
  if (!is_shown(vma.range)) return v;
  constexpr std::uint64_t kPageKb = kPageBytes / 1024, kHugeKb = kHugeBytes / 1024;
  std::uint64_t anon_huge = 0, shmem_huge = 0, swapped = 0;
  mm.table().visit(vma.range, [&](VirtAddr, Pte& pte, PageSize size) {
    swapped += pte.swap();
    if (size != PageSize::k2M || !pte.present() || pte.zero_page()) return;
    if (!pte.hw_present() && !kernel_.context().rules.smaps_shows_prot_none_huge) return;
    const FrameUse use = kernel_.context().memory.frame(pte.pfn()).used_as();
    anon_huge += use == FrameUse::anon;
    shmem_huge += use == FrameUse::file;
  });
  // smaps counts what the file has on swap, but for private writable mappings.
  if (PageCache::is_shmem(vma.file) && (vma.is(Vma::kShared) || !vma.writable()))
    swapped += kernel_.page_cache().swapped_pages(vma.file, vma.pgoff, vma.pgoff + vma.range.pages());
  v["anon_huge_kb"] = anon_huge * kHugeKb;
  if (shmem_huge) v["shmem_huge_kb"] = shmem_huge * kHugeKb;
  v["swap_kb"] = swapped * kPageKb;
  return v;
}

// pagemap ends with the address space of a program, one page below its upper half: a window beyond that is not read.
bool ScenarioRecord::is_readable(VirtAddr base) const {
  constexpr VirtAddr kTaskSize{(1ULL << 47) - kPageBytes};
  return base + kHugeBytes <= kTaskSize;
}

// One 2 MiB window as /proc/PID/pagemap and /proc/kpageflags show it.
ScenarioRecord::Json ScenarioRecord::window(AddressSpace& mm, VirtAddr base) const {
  PhysicalMemory& memory = kernel_.context().memory;
  std::uint64_t present = 0, zero = 0, swap = 0, exclusive = 0, thp = 0;
  mm.table().visit({base, base + kHugeBytes}, [&](VirtAddr, Pte& pte, PageSize size) {
    const std::uint64_t pages = pages_4k(size);
    if (pte.swap()) ++swap;
    if (!pte.present()) return;
    if (pte.zero_page()) return void(zero += pages);
    for (Pfn page = pte.pfn(); page < pte.pfn() + pages; ++page) {
      ++present;
      exclusive += memory.total_mapcount(page) == 1;
      thp += memory.frame(memory.head_of(page)).is(Frame::kHead);
    }
  });
  return {{"addr", to_hex(base.value)},
          {"present", present},
          {"zero", zero},
          {"swap", swap},
          {"none", kHugePages - present - zero - swap},
          {"excl", exclusive},
          {"thp", thp}};
}

}  // namespace collapsar
