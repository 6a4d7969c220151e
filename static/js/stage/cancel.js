// Cancelling what is drawn or waits. What ended by itself just as Cancel was pressed is no loss, and nobody is told.

import { ApiError, cancelJob, cancelJobs, cancelRun } from "../lib/api.js";
import { putJob, putRun } from "../lib/store.js";
import { toastError } from "../lib/toast.js";

/** @param {import("../lib/types.js").Job[]} jobs  of one request */
export function cancelRequest([{ id, group }]) {
  if (group) return cancelJobs(group).then(({ jobs }) => jobs.forEach(putJob), toastError);
  return cancelJob(id).then(putJob, toastUnlessEnded);
}

/** @param {import("../lib/types.js").Run} run */
export const cancelPipeline = (run) => cancelRun(run.group).then(putRun, toastUnlessEnded);

/** @param {unknown} error */
function toastUnlessEnded(error) {
  if (error instanceof ApiError && error.status === 409) return;
  toastError(error);
}
