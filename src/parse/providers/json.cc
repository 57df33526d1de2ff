#include "parse/providers/json.h"

#include <emmintrin.h>
#include <simdjson.h>

#include <bit>
#include <charconv>
#include <deque>

#include "base/text.h"
#include "bounced/limits.h"

namespace bounced::parse::providers {
namespace {

namespace od = simdjson::ondemand;
using simdjson::error_code;
using simdjson::SUCCESS;

/// Bodies over this size give their buffers back afterwards.
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;

/// The next quote or bracket from p on; beyond the end there are readable bytes (16 at a time: most
/// names and values are shorter than that).
const char* next_mark(const char* p, const char* end) {
  for (; p < end; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i low = _mm_or_si128(bytes, _mm_set1_epi8(0x20));  // [ ] like { }
    const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                       _mm_or_si128(_mm_cmpeq_epi8(low, _mm_set1_epi8('{')),
                                                    _mm_cmpeq_epi8(low, _mm_set1_epi8('}'))));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(marks));
    if (mask != 0) return p + std::countr_zero(mask);
  }
  return end;
}

/// Behind the string whose first byte p is.
const char* string_end(const char* p, const char* end) {
  while (p < end) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                       _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(marks));
    if (mask == 0) {
      p += 16;
      continue;
    }
    p += std::countr_zero(mask);
    if (*p == '"') return p + 1;
    p += 2;
  }
  return end;
}

/// Whether brackets nest deeper than kJsonDepthMax, without regard to their kinds.
bool too_deep(std::string_view text) {
  int depth = 0;
  const char* const end = text.data() + text.size();
  for (const char* p = next_mark(text.data(), end); p < end; p = next_mark(p, end)) {
    const char c = *p++;
    if (c == '"') {
      p = string_end(p, end);
    } else if ((c | 0x20) == '{') {
      if (++depth > kJsonDepthMax) return true;
    } else {
      --depth;
    }
  }
  return false;
}

std::string_view without_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  return text.substr(0, kMark.size()) == kMark ? text.substr(kMark.size()) : text;
}

bool blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/// Length of the valid UTF-8 sequence at p; 0 = none.
std::size_t sequence(const unsigned char* p, std::size_t left) {
  if (p[0] < 0x80) return 1;
  const std::size_t size = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC2 || p[0] > 0xF4 || size > left) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  const bool out_of_range = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
                            (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F);
  return out_of_range ? 0 : size;
}

void repair_utf8(std::string_view text, std::string& out) {
  out.clear();
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t size = sequence(p + i, text.size() - i);
    if (size == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
    } else {
      out.append(text, i, size);
      i += size;
    }
  }
}

/// A field for more names than one: "ses:*" for all that begin so, "" for any. They stand last.
bool is_pattern(std::string_view name) {
  return name.empty() || name.back() == '*';
}

bool fits(std::string_view pattern, std::string_view name) {
  if (!is_pattern(pattern)) return false;
  if (!pattern.empty()) pattern.remove_suffix(1);
  return name.substr(0, pattern.size()) == pattern;
}

const Field* find_field(std::span<const Field> fields, std::string_view name) {
  for (const Field& field : fields) {
    if (field.name == name && !name.empty()) return &field;
  }
  if (fields.empty() || !is_pattern(fields.back().name)) return nullptr;
  for (const Field& field : fields) {
    if (fits(field.name, name)) return &field;
  }
  return nullptr;
}

unsigned hex4(const char* p) {
  unsigned value = 0;
  const auto read = std::from_chars(p, p + 4, value, 16);
  return read.ptr == p + 4 ? value : 0xFFFD;
}

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 63));
  } else {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  }
}

/// A text whose escapes are wrong (half a surrogate pair: a provider cut it): what cannot be read
/// becomes U+FFFD.
std::string unescape(std::string_view text) {
  constexpr std::string_view kNames = "bfnrt", kBytes = "\b\f\n\r\t";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    if (c == 'u' && i + 4 < text.size()) {
      const unsigned code = hex4(text.data() + i + 1);
      append_utf8(out, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
      i += 4;
    } else {
      const auto at = kNames.find(c);
      out += at == std::string_view::npos ? c : kBytes[at];
    }
  }
  return out;
}

/// A scalar as text; empty = null, or no scalar. What had to be repaired is kept in `repaired`.
std::string_view scalar(od::value& value, od::json_type type, std::deque<std::string>& repaired) {
  std::string_view token = value.raw_json_token();
  while (!token.empty() && blank(token.back())) token.remove_suffix(1);
  if (type == od::json_type::null) return {};
  if (type != od::json_type::string) return token;
  std::string_view text;
  if (value.get_string().get(text) == SUCCESS) return text;
  const auto last = token.rfind('"');
  if (last == std::string_view::npos || last == 0) return {};
  return repaired.emplace_back(unescape(token.substr(1, last - 1)));
}

}  // namespace

struct JsonReader::Impl {
  od::parser parser;
  Record record;
  std::string copy;
  std::deque<std::string> repaired;
  const Shape* shape = nullptr;
  Visit visit = nullptr;
  void* self = nullptr;
  Counts* counts = nullptr;

  static void set(std::span<std::string_view> slots, std::uint8_t slot, std::string_view text) {
    if (slot < slots.size() && slots[slot].empty()) slots[slot] = text;
  }
  error_code value_of(od::value& value, const Field& field, std::span<std::string_view> slots);
  error_code list_of(od::value& value, const Field& field);
  error_code element_of(od::value& value, od::json_type type, const Field& field);
  error_code object_of(od::object& object, std::span<const Field> fields,
                       std::span<std::string_view> slots);
  error_code item(od::object& object);
  error_code find_items(od::value& value, std::size_t step);
  error_code go_through(od::array& array, std::size_t step);
  error_code go_into(od::object& object, std::size_t step);
  error_code document(std::string_view text, std::size_t capacity);
  void shrink(std::size_t size);
};

JsonReader::JsonReader() : impl_(std::make_unique<Impl>()) {}
JsonReader::~JsonReader() = default;

error_code JsonReader::Impl::element_of(od::value& value, od::json_type type, const Field& field) {
  Part part;
  part.list = field.list;
  if (type == od::json_type::object) {
    od::object object;
    if (const auto error = value.get_object().get(object)) return error;
    if (const auto error = object_of(object, field.inner, part.at)) return error;
  } else if (type == od::json_type::array) {
    return SUCCESS;
  } else {
    part.at[0] = scalar(value, type, repaired);
  }
  record.parts.push_back(part);
  return SUCCESS;
}

error_code JsonReader::Impl::list_of(od::value& value, const Field& field) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return SUCCESS;
  if (type != od::json_type::array) return element_of(value, type, field);
  od::array array;
  if (const auto error = value.get_array().get(array)) return error;
  for (auto next : array) {
    od::value element;
    if (const auto error = next.get(element)) return error;
    if (element.type().get(type) != SUCCESS) continue;
    if (const auto error = element_of(element, type, field)) return error;
  }
  return SUCCESS;
}

error_code JsonReader::Impl::value_of(od::value& value, const Field& field,
                                      std::span<std::string_view> slots) {
  if (field.list != Field::kNone) return list_of(value, field);
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return SUCCESS;
  if (type == od::json_type::object) {
    if (field.inner.empty()) return SUCCESS;
    od::object object;
    if (const auto error = value.get_object().get(object)) return error;
    return object_of(object, field.inner, slots);
  }
  if (type != od::json_type::array) {
    if (field.slot != Field::kNone) set(slots, field.slot, scalar(value, type, repaired));
    return SUCCESS;
  }
  od::array array;
  if (const auto error = value.get_array().get(array)) return error;
  for (auto next : array) {
    od::value element;
    if (const auto error = next.get(element)) return error;
    if (element.type().get(type) != SUCCESS || type == od::json_type::array) continue;
    if (type == od::json_type::object) {
      od::object object;
      if (const auto error = element.get_object().get(object)) return error;
      if (const auto error = object_of(object, field.inner, slots)) return error;
    } else if (field.slot != Field::kNone) {
      set(slots, field.slot, scalar(element, type, repaired));
    }
  }
  return SUCCESS;
}

error_code JsonReader::Impl::object_of(od::object& object, std::span<const Field> fields,
                                       std::span<std::string_view> slots) {
  for (auto next : object) {
    std::string_view name;
    if (const auto error = next.unescaped_key().get(name)) return error;
    const Field* found = find_field(fields, name);
    if (found == nullptr) continue;
    od::value value;
    if (const auto error = next.value().get(value)) return error;
    if (const auto error = value_of(value, *found, slots)) return error;
  }
  return SUCCESS;
}

error_code JsonReader::Impl::item(od::object& object) {
  record.at.fill({});
  record.parts.clear();
  if (const auto error = object_of(object, shape->fields, record.at)) return error;
  ++counts->items;
  visit(self, record);
  return SUCCESS;
}

error_code JsonReader::Impl::go_through(od::array& array, std::size_t step) {
  for (auto next : array) {
    od::value element;
    if (const auto error = next.get(element)) return error;
    if (const auto error = find_items(element, step)) return error;
  }
  return SUCCESS;
}

error_code JsonReader::Impl::go_into(od::object& object, std::size_t step) {
  for (std::size_t at = step; at < shape->path.size(); ++at) {
    od::value inner;
    if (object.find_field_unordered(shape->path[at]).get(inner) != SUCCESS) break;
    od::json_type type{};
    if (inner.type().get(type) == SUCCESS &&
        (type == od::json_type::array || type == od::json_type::object)) {
      return find_items(inner, at + 1);
    }
    break;
  }
  if (const auto error = object.reset().error()) return error;
  return item(object);
}

error_code JsonReader::Impl::find_items(od::value& value, std::size_t step) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) {
    ++counts->others;
    return SUCCESS;
  }
  if (type == od::json_type::array) {
    od::array array;
    if (const auto error = value.get_array().get(array)) return error;
    return go_through(array, step);
  }
  if (type != od::json_type::object) {
    counts->others += type != od::json_type::null;
    return SUCCESS;
  }
  od::object object;
  if (const auto error = value.get_object().get(object)) return error;
  return step < shape->path.size() ? go_into(object, step) : item(object);
}

error_code JsonReader::Impl::document(std::string_view text, std::size_t capacity) {
  od::document document;
  if (const auto error = parser.iterate(text.data(), text.size(), capacity).get(document)) {
    return error;
  }
  od::json_type type{};
  if (const auto error = document.type().get(type)) return error;
  if (type == od::json_type::array) {
    od::array array;
    if (const auto error = document.get_array().get(array)) return error;
    return go_through(array, 0);
  }
  od::object object;
  if (const auto error = document.get_object().get(object)) return error;
  return shape->path.empty() ? item(object) : go_into(object, 0);
}

void JsonReader::Impl::shrink(std::size_t size) {
  if (size <= kKeptBytes) return;
  parser = od::parser();
  copy = std::string();
  record.parts = std::vector<Part>();
}

JsonReader::Outcome JsonReader::read(std::string_view text, const Shape& shape, Visit visit,
                                     void* self, Counts& counts) {
  text = without_mark(text);
  if (too_deep(text)) return Outcome::too_deep;
  impl_->shape = &shape;
  impl_->visit = visit;
  impl_->self = self;
  impl_->counts = &counts;
  impl_->repaired.clear();
  error_code error = impl_->document(text, text.size() + limits::kBlockPadding);
  if (error == simdjson::UTF8_ERROR) {  // found before anything was visited
    std::string clean;
    clean.reserve(text.size() + text.size() / 8 + simdjson::SIMDJSON_PADDING);
    repair_utf8(text, clean);
    clean.reserve(clean.size() + simdjson::SIMDJSON_PADDING);
    // Views into it must outlive this call no more than those into `text`.
    impl_->copy.swap(clean);
    error = impl_->document(impl_->copy, impl_->copy.capacity());
  }
  impl_->shrink(text.size());
  return error == SUCCESS ? Outcome::read : Outcome::no_json;
}

JsonReader::Outcome JsonReader::read_copy(std::string_view text, const Shape& shape, Visit visit,
                                          void* self, Counts& counts) {
  std::string padded;
  padded.reserve(text.size() + limits::kBlockPadding);
  padded.assign(text);
  padded.append(limits::kBlockPadding, '\0');
  return read({padded.data(), text.size()}, shape, visit, self, counts);
}

bool is_json_lines(std::string_view text) {
  text = trim(without_mark(text));
  const auto newline = text.find('\n');
  if (newline == std::string_view::npos || text.front() != '{') return false;
  // A first line that is no object by itself: one document over several lines.
  return trim(text.substr(0, newline)).back() == '}';
}

}  // namespace bounced::parse::providers
