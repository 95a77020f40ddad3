#include "sim/core/config_node.h"

#include <algorithm>
#include <array>

namespace collapsar {

namespace {

std::vector<ConfigNode>::const_iterator entry(const ConfigNode& map, std::string_view name) {
  return std::find_if(map.children.begin(), map.children.end(), [&](const ConfigNode& c) { return c.key == name; });
}

bool is_plain_character(char c) {
  return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') ||
         std::string_view("_./+-%").find(c) != std::string_view::npos;
}

// Whether YAML reads `text`, written without quotes, as exactly this text.
bool is_plain(std::string_view text) {
  static constexpr std::array<std::string_view, 3> kNulls{"null", "Null", "NULL"};
  if (text.empty() || text.starts_with("...") || std::find(kNulls.begin(), kNulls.end(), text) != kNulls.end())
    return false;
  if (text[0] == '-' && (text.size() == 1 || text[1] < '0' || text[1] > '9')) return false;
  return text[0] != '%' && std::all_of(text.begin(), text.end(), is_plain_character);
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += fmt::format("\\{}", c);
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    else out += c;
  }
  return out + '"';
}

std::string scalar_text(const ConfigNode& node) {
  return node.quoted || !is_plain(node.text) ? in_quotes(node.text) : node.text;
}

// A plain key with dots would be a path.
std::string key_text(const std::string& key) {
  return !is_plain(key) || key.find('.') != std::string::npos ? in_quotes(key) : key;
}

bool holds_only_scalars(const ConfigNode& list) {
  return std::all_of(list.children.begin(), list.children.end(), [](const ConfigNode& c) { return c.is_scalar(); });
}

void append_block(const ConfigNode& map, std::size_t indent, std::string& out) {
  const std::string margin(indent, ' ');
  for (const ConfigNode& child : map.children) {
    out += margin + key_text(child.key) + ":";
    if (child.is_map() && !child.children.empty()) {
      out += '\n';
      append_block(child, indent + 2, out);
    } else if (child.is_list() && !holds_only_scalars(child)) {
      out += '\n';
      for (const ConfigNode& item : child.children) out += fmt::format("{}  - {}\n", margin, to_yaml_line(item));
    } else {
      out += fmt::format(" {}\n", to_yaml_line(child));
    }
  }
}

// Letters put in, taken out, changed, or two neighbours swapped (Damerau's distance, each letter edited once).
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last, last, row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last = std::move(last), last = row;
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Place::text() const {
  if (file.empty()) return "(default)";
  return line == 0 ? file : fmt::format("{}:{}:{}", file, line, column);
}

void config_error(const Place& place, std::string_view path, std::string_view message) {
  throw ConfigError(fmt::format("{}: {}{}{}", place.text(), path, path.empty() ? "" : ": ", message));
}

ConfigNode ConfigNode::scalar(std::string text, Place place) {
  ConfigNode node;
  node.kind = Kind::scalar;
  node.text = std::move(text);
  node.place = std::move(place);
  return node;
}

ConfigNode ConfigNode::list(Place place) {
  ConfigNode node;
  node.kind = Kind::list;
  node.place = std::move(place);
  return node;
}

ConfigNode ConfigNode::map(Place place) {
  ConfigNode node;
  node.place = std::move(place);
  return node;
}

std::string ConfigNode::found() const {
  switch (kind) {
    case Kind::list: return "a list";
    case Kind::map: return "a map";
    case Kind::scalar: break;
  }
  return text.empty() ? "an empty text" : text;
}

const ConfigNode* ConfigNode::child(std::string_view name) const {
  if (!is_map()) return nullptr;
  const auto it = entry(*this, name);
  return it == children.end() ? nullptr : &*it;
}

ConfigNode* ConfigNode::child(std::string_view name) {
  return const_cast<ConfigNode*>(static_cast<const ConfigNode*>(this)->child(name));
}

const ConfigNode* ConfigNode::find(std::string_view path) const {
  const ConfigNode* node = this;
  while (node && !path.empty()) {
    const std::size_t dot = path.find('.');
    node = node->child(path.substr(0, dot));
    path = dot == std::string_view::npos ? "" : path.substr(dot + 1);
  }
  return node;
}

void ConfigNode::set(std::string_view path, ConfigNode node) {
  const std::size_t dot = path.find('.');
  std::string name(path.substr(0, dot));
  if (!is_map()) kind = Kind::map, text.clear(), children.clear();
  ConfigNode* target = child(name);
  if (!target) {
    target = &children.emplace_back(ConfigNode::map(node.place));
    target->key = name, target->key_place = node.key_place;
  }
  if (dot != std::string_view::npos) return target->set(path.substr(dot + 1), std::move(node));
  node.key = std::move(name);
  *target = std::move(node);
}

bool ConfigNode::erase(std::string_view name) {
  const auto it = is_map() ? entry(*this, name) : children.end();
  if (it == children.end()) return false;
  children.erase(it);
  return true;
}

// By value: `over` is often a part of this very node (a variant).
void ConfigNode::merge(ConfigNode over) {
  if (!is_map() || !over.is_map()) {
    over.key = std::move(key);
    *this = std::move(over);
    return;
  }
  place = std::move(over.place);
  key_place = std::move(over.key_place);
  for (ConfigNode& theirs : over.children) {
    if (ConfigNode* ours = child(theirs.key)) ours->merge(std::move(theirs));
    else children.push_back(std::move(theirs));
  }
}

bool ConfigNode::operator==(const ConfigNode& other) const {
  return kind == other.kind && key == other.key && text == other.text && is_none() == other.is_none() &&
         children == other.children;
}

std::string to_yaml(const ConfigNode& node) {
  if (!node.is_map() || node.children.empty()) return to_yaml_line(node) + "\n";
  std::string out;
  append_block(node, 0, out);
  return out;
}

std::string to_yaml_line(const ConfigNode& node) {
  if (node.is_scalar()) return scalar_text(node);
  std::string out;
  for (const ConfigNode& child : node.children) {
    if (!out.empty()) out += ", ";
    if (node.is_map()) out += key_text(child.key) + ": ";
    out += to_yaml_line(child);
  }
  return node.is_map() ? "{" + out + "}" : "[" + out + "]";
}

std::string closest(std::string_view word, const std::vector<std::string>& candidates) {
  const std::size_t limit = word.size() >= 5 ? 2 : 1;  // in a short word two edits leave nothing
  std::string best;
  std::size_t least = std::min(limit + 1, word.size());
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edits(word, candidate);
    if (distance < least) least = distance, best = candidate;
  }
  return best;
}

}  // namespace collapsar
