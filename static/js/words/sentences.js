// What a refusal says, as one sentence under its field: the program's own words leave out what they are about.

/** @typedef {{field: string | null, message: string, remedy: string | null}} Refused */

/** @param {Refused} refused */
function withSubject({ field, message }) {
  if (/^(is|has|needs|stands|contains|belongs) /.test(message)) return `${field === "prompt" ? "The prompt" : "This"} ${message}`;
  if (/^(are|make) /.test(message)) return `They ${message}`;
  return message;
}

/** @param {Refused} refused */
export function sentenceOf(refused) {
  const words = withSubject(refused);
  const whole = `${words[0].toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}`;
  return [whole, refused.remedy].filter(Boolean).join(" ");
}
