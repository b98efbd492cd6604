<?php
// The items, and a form that adds one or updates the one of the same name.

declare(strict_types=1);
require '/srv/lib/api.php';
require '/srv/lib/layout.php';

const FIELDS = ['name' => 'Name', 'quantity' => 'Quantity', 'price' => 'Price'];
const LONGEST = 200;    // of a field that is shown again; the service has its own limits

$values = array_fill_keys(array_keys(FIELDS), '');
$errors = [];
$problem = null;

/** True for a request that a page of another site made this browser send. */
function from_elsewhere(): bool
{
    // Browsers say one or both; whoever says neither, such as curl, carries nobody's rights.
    $origin = $_SERVER['HTTP_ORIGIN'] ?? null;
    $site = $_SERVER['HTTP_SEC_FETCH_SITE'] ?? 'none';
    return ($origin !== null && preg_replace('~^https?://~', '', $origin) !== ($_SERVER['HTTP_HOST'] ?? ''))
        || !in_array($site, ['same-origin', 'none'], true);
}

allow_methods('GET', 'HEAD', 'POST');
ob_start();
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    foreach ($values as $field => $_) {
        $values[$field] = is_string($_POST[$field] ?? null) ? mb_substr(trim($_POST[$field]), 0, LONGEST) : '';
    }
    if (from_elsewhere()) {
        http_response_code(403);
        $problem = 'The form was sent from another site. Nothing was changed.';
    } else {
        // A whole number goes as one; whatever else was typed goes as it is, for the
        // service to refuse: it alone knows what is valid.
        $whole = preg_match('/^[+-]?\d{1,18}$/D', $values['quantity']) ? (int) $values['quantity'] : $values['quantity'];
        ['status' => $status, 'body' => $body] = call_api('POST', '/items', [
            'name' => $values['name'],
            'quantity' => $whole,
            'price' => $values['price'],
        ]);
        $done = $body['result'] ?? null;
        if (($status === 200 || $status === 201) && in_array($done, ['added', 'updated'], true)) {
            // A reload of the page that follows sends nothing again.
            header('Location: /admin?' . http_build_query([$done => (string) ($body['item']['name'] ?? '')]), true, 303);
            exit;
        }
        if ($status === 422 && is_array($body['errors'] ?? null)) {
            http_response_code(422);
            $errors = array_filter(array_intersect_key($body['errors'], FIELDS), 'is_string');
            $problem = 'Nothing was changed. Please correct what is marked.';
        } else {
            http_response_code(503);
            $problem = 'The item could not be saved right now. Please try again in a moment.';
        }
    }
}

$items = items();
$names = array_column($items ?? [], 'name');
$message = null;
foreach (['added' => 'Added %s.', 'updated' => 'Updated %s, which was there already.'] as $done => $sentence) {
    // Only for an item that exists: a link can't put words on this page.
    if (in_array($_GET[$done] ?? null, $names, true)) {
        $message = sprintf($sentence, $_GET[$done]);
    }
}

page_start('Shop administration', '/admin/style.css');
if ($message !== null): ?>
<p class="note done" role="status"><?= e($message) ?></p>
<?php endif;
if ($problem !== null): ?>
<p class="note error" role="alert"><?= e($problem) ?></p>
<?php endif ?>
<form method="post" action="/admin" novalidate>
<?php foreach (FIELDS as $field => $label): ?>
  <label>
    <span><?= e($label) ?></span>
    <input name="<?= $field ?>" value="<?= e($values[$field]) ?>" autocomplete="off"<?= $field === 'name' ? '' : ' inputmode="decimal"' ?><?= isset($errors[$field]) ? ' aria-invalid="true" aria-describedby="error-' . $field . '"' : '' ?>>
<?php if (isset($errors[$field])): ?>
    <span class="field-error" id="error-<?= $field ?>"><?= e($label . ' ' . $errors[$field]) ?></span>
<?php endif ?>
  </label>
<?php endforeach ?>
  <button>Save</button>
  <p class="hint">The name of an item that exists updates its quantity; its price too, unless that is left empty.</p>
</form>
<?php
item_table($items);
page_end();
