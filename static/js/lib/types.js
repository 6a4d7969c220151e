// The shapes that the server sends, for readers and for the type checker. No code.

/**
 * @typedef {"queued" | "running" | "done" | "failed" | "cancelled" | "interrupted"} JobStatus
 *
 * @typedef {object} Problem
 * @property {string} code
 * @property {string} message
 * @property {string | null} [remedy]
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {JobStatus} status
 * @property {string | null} group
 * @property {"batch" | "compare" | "grid" | "pipeline" | null} group_kind
 * @property {{column: number, row: number, columns: string[], rows: string[]} | null} [cell]  its place in a grid
 * @property {string} model
 * @property {Record<string, any>} request  everything that was asked for, the pictures that go in among it
 * @property {string} prompt
 * @property {number} seed
 * @property {number} steps
 * @property {number} width
 * @property {number} height
 * @property {string} created_at
 * @property {number | null} position  0: running, 1 and more: waiting
 * @property {"enlarge" | "load" | "encode" | "encode image" | "denoise" | "decode" | null} phase
 * @property {number} step
 * @property {number} steps_total
 * @property {number} progress  0 to 1
 * @property {number | null} eta_s
 * @property {number} elapsed_s
 * @property {string | null} image_id
 * @property {boolean} truncated  the prompt's end was left out
 * @property {string[]} [notes]  what pictures that go in lose, or how they are made to fit
 * @property {Problem | null} error
 * @property {number} preview_seq  0: no preview yet
 *
 * @typedef {object} Refusal  The one shape of every error answer
 * @property {string} code
 * @property {string} message
 * @property {string | null} [field]
 * @property {string | null} [remedy]
 * @property {number | null} [retry_after_s]
 *
 * @typedef {object} Hello  What a new connection begins with
 * @property {Job[]} jobs  those that wait or run
 * @property {Memory} memory
 * @property {Model[]} models
 * @property {{paused: boolean}} [queue]
 * @property {Run[]} [pipelines]  those that are carried out
 *
 * @typedef {object} Run  A pipeline that is carried out, a job for each step that draws
 * @property {string} group
 * @property {string | null} name
 * @property {"running" | "done" | "failed" | "cancelled" | "interrupted"} status
 * @property {number} step  from 1 on
 * @property {number} steps
 * @property {string[]} ways  what each step does
 * @property {string[]} jobs
 * @property {string[]} image_ids
 * @property {string | null} image_id
 * @property {Problem | null} error
 *
 * @typedef {object} Picture  An image of the gallery
 * @property {string} id
 * @property {string} prompt
 * @property {number | null} seed
 * @property {number | null} steps
 * @property {number} width
 * @property {number} height
 * @property {string | null} model
 * @property {string | null} variant
 * @property {string} created_at
 * @property {boolean} favourite
 * @property {number} bytes
 * @property {Record<string, number>} timings
 * @property {number | null} peak_memory_bytes
 * @property {boolean} truncated  the prompt's end was left out
 * @property {string | null} group
 * @property {"batch" | "compare" | "grid" | "pipeline" | null} group_kind
 * @property {Record<string, any>} recipe  as it stands in the file; empty for pictures of others
 * @property {{id: string, role: string}[]} [parents]  only where one picture is asked for
 * @property {string} url
 * @property {string} thumbnail_url
 *
 * @typedef {object} Download
 * @property {number} bytes_done
 * @property {number} bytes_total
 * @property {number | null} speed_bps
 * @property {number | null} eta_s
 * @property {string | null} file
 * @property {string | null} error
 *
 * @typedef {object} Model
 * @property {string} name
 * @property {string} title
 * @property {"model" | "text encoder" | "decoder" | "preview decoder"} kind
 * @property {string} variant
 * @property {string} family  "bits": it takes a temperature, and draws without words
 * @property {boolean} embedded
 * @property {"ready" | "absent" | "partial" | "downloading" | "paused" | "verifying" | "damaged" | "failed"} state
 * @property {string | null} repo  null: it comes with the program, or is made from the original alone
 * @property {string | null} path
 * @property {number} bytes_total
 * @property {number} bytes_present
 * @property {number} recommended_steps
 * @property {[number, number]} recommended_size
 * @property {number} recommended_guidance  1: the model has none
 * @property {string} note
 * @property {number | null} resident_bytes
 * @property {string | null} packed_from
 * @property {string | null} original  what it can be made from; null: nothing
 * @property {number | null} original_bytes  what comes then
 * @property {number | null} passing_bytes  of these, at most at a time on the disk
 * @property {"pinned" | "listed" | "unchecked" | "unknown"} content
 * @property {Download | null} download
 * @property {string[]} problems
 *
 * @typedef {object} Memory
 * @property {number} mlx_active_bytes
 * @property {number} mlx_peak_bytes
 * @property {number} mlx_cache_bytes
 * @property {number} process_bytes
 * @property {number} server_bytes
 * @property {number} system_total_bytes
 * @property {number} system_available_bytes
 * @property {number} swap_used_bytes
 * @property {number} swap_growth_bytes
 * @property {"stopped" | "starting" | "idle" | "busy" | "unresponsive"} worker
 * @property {string | null} model
 * @property {number} t  unix time in seconds
 *
 * @typedef {object} Fit
 * @property {number} width
 * @property {number} height
 * @property {number} peak_bytes
 * @property {"fits" | "tight" | "swaps"} verdict
 * @property {number | null} seconds  with the recommended steps
 * @property {number | null} seconds_per_step
 *
 * @typedef {object} PictureSettings  What a file says about how it was made
 * @property {string} source
 * @property {string} program  the program's name, for people
 * @property {string} prompt
 * @property {string} negative
 * @property {number | null} seed
 * @property {string | null} seed_text
 * @property {number | null} steps
 * @property {number | null} width
 * @property {number | null} height
 * @property {string | null} model
 * @property {Record<string, string>} extra
 * @property {string | null} code  which alone stands for the picture
 * @property {Recipe | null} recipe  of pictures that this program made
 *
 * @typedef {object} Recipe  What the composer can be filled with; absent fields stay as they are
 * @property {string} [prompt]
 * @property {number} [seed]
 * @property {number} [steps]
 * @property {number} [width]
 * @property {number} [height]
 * @property {string} [model]
 * @property {{name: string, strength: number, sha256?: string}[]} [loras]
 * @property {string[]} [styles]
 * @property {string} [typed]  the prompt before its styles, or before it was written
 * @property {string} [styled]  the prompt that was drawn, where `prompt` is what was typed
 * @property {boolean} [whole]  what it does not say was not asked for, rather than left as it is
 * @property {number} [guidance]
 * @property {string} [negative_prompt]
 * @property {number} [temperature]
 * @property {boolean} [unconditional]  the prompt was not read
 */

/** @typedef {{name: string, text: string, steps: number | null, width: number | null, height: number | null, ours: boolean}} Style */

export {};
