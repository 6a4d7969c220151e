// Numbers as people read them. GB = 1e9 bytes everywhere.

import { known } from "./catalog.js";

/** @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 1e6) return `${Math.round(bytes / 1e6)} MB`;
  return `${Math.round(bytes / 1e3)} kB`;
}

/** @param {number} seconds */
export function formatSeconds(seconds) {
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  if (seconds >= 60) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return seconds >= 10 ? `${Math.round(seconds)} s` : `${seconds.toFixed(1)} s`;
}

/**
 * Time left, coarse on purpose: a figure that jumps by tenths says more than it knows.
 * @param {number} seconds
 */
export function formatTimeLeft(seconds) {
  return seconds < 1 ? "less than a second left" : `${formatSeconds(Math.ceil(seconds)).replace(".0", "")} left`;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** @param {string | null} name */
export function modelTitle(name) {
  return name === null ? "Unknown model" : (known(name)?.label ?? name);
}

/**
 * @param {number} width
 * @param {number} height
 */
export function formatSize(width, height) {
  return `${width} × ${height}`;
}
