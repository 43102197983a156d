/* Filters as a person types them: model=mask_rcnn seed<3 AP>10 words. */

const CONDITION = /^([^=<>!~]+?)(>=|<=|!=|=|>|<|~)(.*)$/;

/** Return {test, error}: a function of a run, and what is wrong with the text. */
function parseQuery(text) {
  const words = (text.match(/(?:"[^"]*"|[^\s"])+/g) || []).map((word) => word.replace(/"/g, ""));
  const tests = [];
  let error = "";
  for (const word of words) {
    const match = CONDITION.exec(word);
    if (!match) { const needle = word.toLowerCase(); tests.push((run) => run.text.includes(needle)); continue; }
    const [, name, operator, value] = match, column = columnOf(name);
    if (!column) { error = `no run has a value called ${name}`; continue; }
    if (value === "") continue; // still being typed
    tests.push((run) => holds(column.read(run), operator, value));
  }
  return { test: (run) => tests.every((one) => one(run)), error };
}

/** Return whether a condition holds; a run without the value fulfils != alone, as in `lineage table --runs`. */
function holds(ours, operator, text) {
  if (ours == null) return operator === "!=";
  if (operator === "~") return String(ours).toLowerCase().includes(text.toLowerCase());
  const number = text.trim() === "" ? NaN : Number(text), areNumbers = typeof ours === "number" && !Number.isNaN(number);
  const a = areNumbers ? ours : String(ours), b = areNumbers ? number : text;
  if (operator === "=") return a === b;
  if (operator === "!=") return a !== b;
  if (typeof ours === "number" && !areNumbers) return false;
  return operator === ">" ? a > b : operator === "<" ? a < b : operator === ">=" ? a >= b : a <= b;
}
