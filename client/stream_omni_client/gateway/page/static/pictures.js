// Pictures for the next question: chosen, dropped, pasted or taken; made small enough before they travel.

const LONGEST_SIDE_PX = 1536;
const QUALITY = 0.88;
export const MOST_PICTURES = 4; // the server's own limit of a turn

export class PictureError extends Error {}

// A data URI of a JPEG, upright, its longer side at most LONGEST_SIDE_PX. Raises PictureError.
export async function shrink(source) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(source, { imageOrientation: "from-image" });
  } catch {
    throw new PictureError(`${source.name || "That"} is no picture that this browser can read.`);
  }
  const scale = Math.min(1, LONGEST_SIDE_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // behind what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL("image/jpeg", QUALITY);
}

export function picturesOf(transfer) {
  return [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));
}

// Take one with the camera, in the dialog; null where the user thinks better of it. Raises PictureError.
export async function takePicture(dialog) {
  const [video, take] = [dialog.querySelector("video"), dialog.querySelector("#take")];
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new PictureError("Browsers lend the camera to pages on https:// or localhost only. Choose a file instead.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch (error) {
    const told = error.name === "NotFoundError" ? "No camera was found." : "The camera is blocked or taken.";
    throw new PictureError(`${told} Choose a file instead.`);
  }
  try {
    video.srcObject = stream;
    take.disabled = true;
    video.onplaying = () => (take.disabled = false);
    dialog.returnValue = "";
    dialog.showModal();
    await video.play();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    return dialog.returnValue === "take" ? await shrink(video) : null;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  }
}
